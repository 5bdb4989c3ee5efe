// SPDX-License-Identifier: Apache-2.0
/* What cannot be opened, and whether the message says why and what mends it. */
#include "tests/nic/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_text(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" does not have \"%s\"", text, part);
}

static void expect_refused(const struct rb_nic_config *config, int error, const char *part, const char *other)
{
	char why[RB_NIC_ERROR_MAX] = "";
	struct rb_nic *nic = NULL;
	assert_int_equal(rb_nic_open(config, &nic, why), error);
	assert_null(nic);
	expect_text(why, part);
	expect_text(why, other);
}

static void test_no_device(void **state)
{
	(void)state;
	fixture_make("net_null7", "size=60");
	struct rb_nic_config config = fixture_config("net_tap0");
	expect_refused(&config, -ENODEV, "net_tap0", "it has: net_null7");
	expect_refused(&config, -ENODEV, "net_tap0", "net_af_packet0,iface=eth0");
	config.device = "0000:ff:1f.7";
	expect_refused(&config, -ENODEV, "no PCI device 0000:ff:1f.7", "dpdk-devbind.py --status-dev net");
	config.device = "ff:1f.7";
	expect_refused(&config, -ENODEV, "no PCI device 0000:ff:1f.7", "dpdk-devbind.py");
	fixture_remove(NULL, "net_null7");
}

static void test_queues(void **state)
{
	struct fixture_rings rings;
	(void)state;
	fixture_rings_make(&rings, 2);
	struct rb_nic_config config = fixture_config(rings.device);
	config.queues = 3;
	expect_refused(&config, -EINVAL, "3 queues", "1 .. 2");
	config.queues = 0;
	expect_refused(&config, -EINVAL, "0 queues", "1 .. 2");
	config.queues = 1;
	config.mtu = 575;
	expect_refused(&config, -EINVAL, "MTU of 575", "576 .. ");
	config.mtu = 9001;
	expect_refused(&config, -EINVAL, "MTU of 9001", " .. 9000");
	/* what was refused can be opened in another way */
	config.mtu = 1500;
	fixture_rings_remove(&rings, fixture_open(&config));
}

/* Several queues, and nothing that spreads packets over them: they do it themselves. */
static void test_no_spreading(void **state)
{
	struct fixture_rings rings;
	(void)state;
	fixture_rings_make(&rings, 2);
	struct rb_nic_config config = fixture_config(rings.device);
	config.queues = 2;
	struct rb_nic *nic = fixture_open(&config);
	assert_false(rb_nic_has_rss(nic));
	fixture_rings_remove(&rings, nic);
}

static void test_open_twice(void **state)
{
	struct fixture_rings rings;
	(void)state;
	fixture_rings_make(&rings, 1);
	const struct rb_nic_config config = fixture_config(rings.device);
	struct rb_nic *nic = fixture_open(&config);
	expect_refused(&config, -EBUSY, rings.device, "open already");
	fixture_rings_remove(&rings, nic);
}

static void test_no_memory(void **state)
{
	struct fixture_rings rings;
	(void)state;
	fixture_rings_make(&rings, 1);
	struct rb_nic_config config = fixture_config(rings.device);
	config.rx_buffers = 1000000;
	expect_refused(&config, -ENOMEM, "1000208 receive buffers", "nr_hugepages");
	fixture_rings_remove(&rings, NULL);
}

static void test_close_nothing(void **state)
{
	(void)state;
	rb_nic_close(NULL);
}

/* A device of each kind once more: none has left anything behind, in DPDK's memory or names. */
static void test_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		uint8_t mac[6];
		fixture_make("net_null0", "size=60");
		struct rb_nic_config config = fixture_config("net_null0");
		config.queues = 4;
		config.mtu = i % 2 == 0 ? 1500 : 9000;
		struct rb_nic *nic = fixture_open(&config);
		rb_nic_mac(nic, mac);
		assert_int_equal(mac[0] & 1, 0);
		assert_int_equal(rb_nic_offloads(nic), 0);
		fixture_remove(nic, "net_null0");
	}
}

/*
 * A machine's /sys, as far as it is asked for.
 */

static char sys[] = "/tmp/rb-nic-sys-XXXXXX";

/* A folder, whose name ends with a slash, or a link; with the folders above it. */
static void make(const char *name, const char *target)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", sys, name);
	for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	if (target != NULL)
		assert_return_code(symlink(target, path), errno);
}

static void write_number(const char *path, unsigned number)
{
	char full[512];
	snprintf(full, sizeof(full), "%s/", path);
	make(full, NULL);
	snprintf(full, sizeof(full), "%s/%s/free_hugepages", sys, path);
	FILE *out = fopen(full, "we");
	assert_non_null(out);
	fprintf(out, "%u\n", number);
	fclose(out);
	snprintf(full, sizeof(full), "%s/%s/nr_hugepages", sys, path);
	out = fopen(full, "we");
	assert_non_null(out);
	fprintf(out, "%u\n", number + 3);
	fclose(out);
}

static int sys_make(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(sys));
	make("bus/pci/devices/0000:01:10.0/driver", "../../../bus/pci/drivers/igbvf");
	make("bus/pci/devices/0000:01:10.1/driver", "../../../bus/pci/drivers/vfio-pci");
	make("bus/pci/devices/0000:01:10.2/driver", "../../../bus/pci/drivers/vfio-pci");
	make("bus/pci/devices/0000:01:10.2/iommu_group", "../../../kernel/iommu_groups/7");
	make("bus/pci/devices/0000:01:10.3/power/", NULL);
	write_number("kernel/mm/hugepages/hugepages-2048kB", 0);
	return 0;
}

static int sys_remove(void **state)
{
	char command[64];
	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", sys);
	return system(command); /* NOLINT(cert-env33-c) */
}

static void expect_missing(const char *device, const char *part, const char *other)
{
	char why[RB_NIC_ERROR_MAX] = "";
	assert_int_equal(nic_explain_missing(sys, device, why), -ENODEV);
	expect_text(why, part);
	expect_text(why, other);
}

static void test_drivers(void **state)
{
	(void)state;
	expect_missing("0000:01:10.0", "kernel's driver igbvf", "dpdk-devbind.py --bind=vfio-pci 0000:01:10.0");
	expect_missing("01:10.0", "0000:01:10.0 is bound to the kernel's driver igbvf", "--bind=vfio-pci 0000:01:10.0");
	expect_missing("0000:01:10.1", "no IOMMU group", "intel_iommu=on");
	expect_missing("0000:01:10.1", "no IOMMU group", "--bind=uio_pci_generic 0000:01:10.1");
	expect_missing("0000:01:10.2", "bound to vfio-pci, but DPDK has not taken it", "its IOMMU group");
	expect_missing("0000:01:10.3", "bound to no driver", "--bind=vfio-pci 0000:01:10.3");
	expect_missing("0000:01:10.4", "no PCI device", "--status-dev net");
}

static void test_capture(void **state)
{
	char why[RB_NIC_ERROR_MAX] = "";
	(void)state;
	make("bus/pci/devices/0000:01:10.5/driver", "../../../bus/pci/drivers/uio_pci_generic");
	assert_int_equal(nic_explain_capture(sys, "0000:01:10.2", why), 0);
	assert_int_equal(nic_explain_capture(sys, "net_tap0,iface=tap0", why), 0);
	assert_string_equal(why, "");
	assert_int_equal(nic_explain_capture(sys, "01:10.5", why), -ENOTSUP);
	expect_text(why, "uio_pci_generic, which 0000:01:10.5 is bound to");
	expect_text(why, "dpdk-devbind.py --bind=vfio-pci 0000:01:10.5");
}

static void test_hugepages(void **state)
{
	char *no_huge[] = {(char[]){"test"}, (char[]){"--no-huge"}, NULL};
	char *few[] = {(char[]){"test"}, (char[]){"-m"}, (char[]){"1025"}, NULL};
	char why[RB_NIC_ERROR_MAX] = "";
	(void)state;
	assert_int_equal(nic_explain_init(sys, EACCES, 1, no_huge, why), -ENOMEM);
	expect_text(why, "0 MiB of huge pages are free, of 6 that are set up");
	expect_text(why, "echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	assert_int_equal(nic_explain_init(sys, EACCES, 2, no_huge, why), -EACCES);
	assert_null(strstr(why, "huge pages are free"));
	write_number("kernel/mm/hugepages/hugepages-1048576kB", 1);
	assert_int_equal(nic_explain_init(sys, EACCES, 1, no_huge, why), -EACCES);
	assert_null(strstr(why, "huge pages are free"));
	/* some are, and too few */
	assert_int_equal(nic_explain_init(sys, EACCES, 3, few, why), -ENOMEM);
	expect_text(why, "1024 MiB of huge pages are free, of 4102 that are set up, and it takes 1025");
	expect_text(why, "echo 4 >");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_device),    cmocka_unit_test(test_queues),
		cmocka_unit_test(test_no_spreading), cmocka_unit_test(test_open_twice),
		cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_close_nothing),
		cmocka_unit_test(test_again),
	};
	const struct CMUnitTest explanations[] = {cmocka_unit_test(test_drivers), cmocka_unit_test(test_capture),
						  cmocka_unit_test(test_hugepages)};
	const int failed = cmocka_run_group_tests(tests, fixture_begin, fixture_end);
	return failed + cmocka_run_group_tests(explanations, sys_make, sys_remove);
}
