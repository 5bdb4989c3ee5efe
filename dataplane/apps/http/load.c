// SPDX-License-Identifier: Apache-2.0
/* Files from a directory into the memory of a site. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/http/site.h"
#include "base/log.h"

/*
 * Reads at most `size` bytes; a file that shrinks meanwhile is served as it was found. Returns their number or -errno.
 */
static ssize_t read_all(int fd, uint8_t *body, size_t size)
{
	size_t length = 0;
	while (length < size) {
		ssize_t got = read(fd, body + length, size - length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	return (ssize_t)length;
}

static int load_open_file(struct http_site *site, int fd, const char *name)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return -errno;
	size_t size = (size_t)status.st_size;
	if (size > site->bytes_max - site->bytes)
		return -ENOSPC;
	uint8_t *body = malloc(size > 0 ? size : 1);
	if (body == NULL)
		return -ENOMEM;
	ssize_t length = read_all(fd, body, size);
	int result = length < 0 ? (int)length
				: http_site_add(site, name, body, (size_t)length, (int64_t)status.st_mtim.tv_sec);
	free(body);
	return result;
}

static int load_file(struct http_site *site, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int result = fd < 0 ? -errno : load_open_file(site, fd, name);
	if (fd >= 0)
		close(fd);
	if (result == -ENOSPC)
		rb_log(RB_LOG_ERROR, "%s does not fit: more than %zu bytes in all; see --memory", path,
		       site->bytes_max);
	else if (result != 0)
		rb_log(RB_LOG_ERROR, "cannot load %s: %s", path, strerror(-result));
	return result;
}

/* One step of the walk. Returns 0 or -errno. */
static int visit(struct http_site *site, FTS *walk, FTSENT *entry, size_t root_length)
{
	if (entry->fts_level > FTS_ROOTLEVEL && entry->fts_name[0] == '.') {
		if (entry->fts_info == FTS_D)
			fts_set(walk, entry, FTS_SKIP);
		return 0;
	}
	switch (entry->fts_info) {
	case FTS_F:
		return entry->fts_level > FTS_ROOTLEVEL
			       ? load_file(site, entry->fts_path, entry->fts_path + root_length)
			       : -ENOTDIR;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		rb_log(RB_LOG_ERROR, "cannot read %s: %s", entry->fts_path, strerror(entry->fts_errno));
		return -entry->fts_errno;
	case FTS_SL:
		rb_log(RB_LOG_INFO, "%s is a symbolic link and is not served", entry->fts_path);
		return 0;
	default:
		return 0;
	}
}

int http_site_load(struct http_site *site, const char *directory)
{
	char *root = realpath(directory, NULL); /* which has no '/' at its end, unless it is one */
	char *const roots[] = {root, NULL};
	struct stat status;
	if (root == NULL || stat(root, &status) != 0 || !S_ISDIR(status.st_mode)) {
		int error = root == NULL ? errno : ENOTDIR;
		rb_log(RB_LOG_ERROR, "%s: %s", directory, strerror(error));
		free(root);
		return -error;
	}
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	int result = walk == NULL ? -errno : 0;
	size_t root_length = strcmp(root, "/") == 0 ? 0 : strlen(root);
	FTSENT *entry = NULL;
	while (result == 0 && (entry = fts_read(walk)) != NULL)
		result = visit(site, walk, entry, root_length);
	if (walk != NULL)
		fts_close(walk);
	free(root);
	return result;
}
