/* The inodes the kernel knows, each with an O_PATH descriptor, found by device and inode number. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passthrough.h"

#define BUCKETS (1 << 16)

static struct node root;
static struct node *buckets[BUCKETS];

int nodes_open_root(const char *folder)
{
	struct stat st;

	root.fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.fd < 0 || fstat(root.fd, &st) < 0)
		return -errno;
	root.dev = st.st_dev;
	root.ino = st.st_ino;
	root.lookups = 1;
	return 0;
}

/* The kernel only names nodes it was given: the number is the address. */
struct node *node_of(uint64_t nodeid)
{
	return nodeid == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)nodeid;
}

static struct node **bucket_of(dev_t dev, ino_t ino)
{
	uint64_t mixed = ((uint64_t)ino ^ ((uint64_t)dev << 32)) * 0x9e3779b97f4a7c15u;

	return &buckets[mixed >> 48];
}

void fill_attr(const struct stat *st, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = (uint32_t)st->st_rdev,
		.blksize = (uint32_t)st->st_blksize,
	};
}

int node_lookup(struct node *parent, const char *name, struct fuse_entry_out *out)
{
	struct stat st;
	struct node *node, **bucket;
	int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return -EIO;
	}
	bucket = bucket_of(st.st_dev, st.st_ino);
	for (node = *bucket; node != NULL; node = node->next)
		if (node->ino == st.st_ino && node->dev == st.st_dev)
			break;
	if (node != NULL) {
		close(fd);
	} else {
		node = malloc(sizeof(*node));
		if (node == NULL) {
			close(fd);
			return -ENOMEM;
		}
		*node = (struct node){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino, .next = *bucket };
		*bucket = node;
	}
	node->lookups++;
	memset(out, 0, sizeof(*out));
	out->nodeid = (uint64_t)(uintptr_t)node;
	out->entry_valid = VALID_SECONDS;
	out->attr_valid = VALID_SECONDS;
	fill_attr(&st, &out->attr);
	return 0;
}

void node_forget(uint64_t nodeid, uint64_t count)
{
	struct node *node = node_of(nodeid), **link;

	if (node == &root)
		return;
	node->lookups = count > node->lookups ? 0 : node->lookups - count;
	if (node->lookups > 0)
		return;
	for (link = bucket_of(node->dev, node->ino); *link != node; link = &(*link)->next)
		;
	*link = node->next;
	close(node->fd);
	free(node);
}

void node_proc_path(const struct node *node, char path[32])
{
	snprintf(path, 32, "/proc/self/fd/%d", node->fd);
}

int node_open(const struct node *node, int flags)
{
	char path[32];
	int fd;

	node_proc_path(node, path);
	fd = open(path, (flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
