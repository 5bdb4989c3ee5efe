// SPDX-License-Identifier: Apache-2.0
/* What is missing, and the command that mends it. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_pci.h>

#include "nic/defs.h"

int nic_fail(char why[RB_NIC_ERROR_MAX], int error, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(why, RB_NIC_ERROR_MAX, format, list);
	va_end(list);
	return -error;
}

/* The number in a file; -1: none. */
static long read_number(const char *path)
{
	char text[32] = "";
	FILE *in = fopen(path, "re");
	if (in == NULL)
		return -1;
	const bool got = fgets(text, sizeof(text), in) != NULL;
	fclose(in);
	char *end = text;
	const long value = strtol(text, &end, 10);
	return got && end != text ? value : -1;
}

static bool has_argument(int argc, char *const *argv, const char *name)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], name) == 0)
			return true;
	}
	return false;
}

static long pages_of(const char *sys, const char *size, const char *what)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/kernel/mm/hugepages/hugepages-%s/%s", sys, size, what);
	const long count = read_number(path);
	return count > 0 ? count : 0;
}

/* MiB in huge pages of both sizes. */
static long huge_mib(const char *sys, const char *what)
{
	return 2 * pages_of(sys, "2048kB", what) + 1024 * pages_of(sys, "1048576kB", what);
}

/* MiB that DPDK is told to take; 1: it may take what it finds. */
static long wanted_mib(int argc, char *const *argv)
{
	for (int i = 1; i + 1 < argc; i++) {
		const long mib = strcmp(argv[i], "-m") == 0 ? strtol(argv[i + 1], NULL, 10) : 0;
		if (mib > 0)
			return mib;
	}
	return 1;
}

static int explain_hugepages(const char *sys, long wanted, long free, char why[RB_NIC_ERROR_MAX])
{
	/* what others have stays theirs; where nobody says how much, as much as nearly everybody wants */
	const long pages = pages_of(sys, "2048kB", "nr_hugepages") + (wanted - free + 1) / 2;
	return nic_fail(
		why, ENOMEM,
		"DPDK cannot start: %ld MiB of huge pages are free, of %ld that are set up, and it takes %ld; mend it "
		"with: echo %ld > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
		free, huge_mib(sys, "nr_hugepages"), wanted, wanted > 1 ? pages : 512);
}

int nic_explain_init(const char *sys, int error, int argc, char *const *argv, char why[RB_NIC_ERROR_MAX])
{
	if (error <= 0)
		error = EIO;
	if (error == EINVAL)
		return nic_fail(why, EINVAL, "DPDK does not take its command line: its own messages say what is wrong");
	const long wanted = wanted_mib(argc, argv), free_mib = huge_mib(sys, "free_hugepages");
	if (!has_argument(argc, argv, "--no-huge") && free_mib < wanted)
		return explain_hugepages(sys, wanted, free_mib, why);
	if (geteuid() != 0)
		return nic_fail(why, error,
				"DPDK cannot start (%s): hugepages and devices need root; start it with sudo",
				strerror(error));
	return nic_fail(
		why, error,
		"DPDK cannot start (%s); its own messages say more. With a capture there can be only one such process; "
		"if hugetlbfs is not mounted: mount -t hugetlbfs none /dev/hugepages",
		strerror(error));
}

bool nic_pci_address(const char *device, char address[32])
{
	struct rte_pci_addr parsed;
	if (rte_pci_addr_parse(device, &parsed) != 0)
		return false;
	rte_pci_device_name(&parsed, address, 32);
	return true;
}

/* The last part of where a link leads; false: there is no such link. */
static bool link_name(const char *path, char name[64])
{
	char target[PATH_MAX];
	const ssize_t length = readlink(path, target, sizeof(target) - 1);
	if (length <= 0)
		return false;
	target[length] = '\0';
	const char *slash = strrchr(target, '/');
	snprintf(name, 64, "%.63s", slash == NULL ? target : slash + 1);
	return true;
}

static bool is_user_driver(const char *driver)
{
	return strcmp(driver, "vfio-pci") == 0 || strcmp(driver, "uio_pci_generic") == 0 ||
	       strcmp(driver, "igb_uio") == 0;
}

/* A device that DPDK could have, and has not. */
static int explain_refused(const char *at, const char *address, const char *driver, char why[RB_NIC_ERROR_MAX])
{
	char path[PATH_MAX + 32], group[64];
	snprintf(path, sizeof(path), "%s/iommu_group", at);
	if (strcmp(driver, "vfio-pci") == 0 && !link_name(path, group))
		return nic_fail(
			why, ENODEV,
			"%s is bound to vfio-pci, but has no IOMMU group: give the machine an IOMMU "
			"(intel_iommu=on or amd_iommu=on on the kernel's command line), or use a driver that needs "
			"none: dpdk-devbind.py --bind=uio_pci_generic %s",
			address, address);
	return nic_fail(
		why, ENODEV,
		"%s is bound to %s, but DPDK has not taken it: it has no driver for the model, or other devices of its "
		"IOMMU group are still with the kernel; its own messages say which",
		address, driver);
}

static int explain_missing_pci(const char *sys, const char *address, char why[RB_NIC_ERROR_MAX])
{
	char at[PATH_MAX], path[PATH_MAX + 32], driver[64];
	snprintf(at, sizeof(at), "%s/bus/pci/devices/%s", sys, address);
	if (access(at, F_OK) != 0)
		return nic_fail(why, ENODEV,
				"the machine has no PCI device %s; these are there: dpdk-devbind.py --status-dev net",
				address);
	snprintf(path, sizeof(path), "%s/driver", at);
	if (!link_name(path, driver))
		return nic_fail(why, ENODEV,
				"%s is bound to no driver; give it to DPDK with: modprobe vfio-pci && dpdk-devbind.py "
				"--bind=vfio-pci %s",
				address, address);
	if (is_user_driver(driver))
		return explain_refused(at, address, driver, why);
	return nic_fail(
		why, ENODEV,
		"%s is bound to the kernel's driver %s; give it to DPDK with: modprobe vfio-pci && dpdk-devbind.py "
		"--bind=vfio-pci %s",
		address, driver, address);
}

int nic_explain_capture(const char *sys, const char *device, char why[RB_NIC_ERROR_MAX])
{
	char address[32], path[PATH_MAX + 32], driver[64];
	if (!nic_pci_address(device, address))
		return 0;
	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/driver", sys, address);
	if (!link_name(path, driver) || strcmp(driver, "uio_pci_generic") != 0)
		return 0;
	return nic_fail(
		why, ENOTSUP,
		"capture needs vfio-pci: uio_pci_generic, which %s is bound to, stops the device as soon as any "
		"process closes it, and dpdk-dumpcap does at its end; give the machine an IOMMU, and then "
		"dpdk-devbind.py --bind=vfio-pci %s",
		address, address);
}

/* The names of the ports there are. */
static void ports_text(char *text, size_t size)
{
	uint16_t port;
	size_t used = 0;
	snprintf(text, size, "none");
	RTE_ETH_FOREACH_DEV(port)
	{
		char name[RTE_ETH_NAME_MAX_LEN];
		if (rte_eth_dev_get_name_by_port(port, name) != 0 || used + strlen(name) + 3 > size)
			continue;
		used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", name);
	}
}

int nic_explain_missing(const char *sys, const char *device, char why[RB_NIC_ERROR_MAX])
{
	char address[32], ports[256];
	if (nic_pci_address(device, address))
		return explain_missing_pci(sys, address, why);
	ports_text(ports, sizeof(ports));
	return nic_fail(why, ENODEV,
			"DPDK has no device %s (it has: %s); a virtual one is named with its driver, such as "
			"net_af_packet0,iface=eth0",
			device, ports);
}
