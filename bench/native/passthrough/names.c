/* Requests about names and attributes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "passthrough.h"

static void reply_entry(const struct request *request, const char *name, int result)
{
	struct fuse_entry_out out;

	if (result < 0) {
		reply_error(request->head->unique, errno);
		return;
	}
	result = node_lookup(node_of(request->head->nodeid), name, &out);
	if (result < 0)
		reply_error(request->head->unique, -result);
	else
		reply_data(request->head->unique, &out, sizeof(out));
}

static void reply_status(const struct request *request, int result)
{
	reply_error(request->head->unique, result < 0 ? errno : 0);
}

static void reply_attr(const struct request *request)
{
	struct fuse_attr_out out = { .attr_valid = VALID_SECONDS };
	struct stat st;

	if (fstat(node_of(request->head->nodeid)->fd, &st) < 0) {
		reply_error(request->head->unique, errno);
		return;
	}
	fill_attr(&st, &out.attr);
	reply_data(request->head->unique, &out, sizeof(out));
}

static struct timespec time_to_set(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
				   uint32_t nsec)
{
	if (valid & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	if (valid & set)
		return (struct timespec){ .tv_sec = (time_t)sec, .tv_nsec = nsec };
	return (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int set_attributes(const struct node *node, const struct fuse_setattr_in *in)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
	char path[32];

	node_proc_path(node, path);
	if (in->valid & FATTR_MODE && chmod(path, in->mode) < 0)
		return -1;
	if (in->valid & (FATTR_UID | FATTR_GID) &&
	    fchownat(node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (in->valid & FATTR_SIZE) {
		int result = in->valid & FATTR_FH ? ftruncate((int)in->fh, (off_t)in->size)
						  : truncate(path, (off_t)in->size);
		if (result < 0)
			return -1;
	}
	if (in->valid & (FATTR_ATIME | FATTR_MTIME)) {
		struct timespec times[2] = {
			time_to_set(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime,
				    in->atimensec),
			time_to_set(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime,
				    in->mtimensec),
		};
		return utimensat(AT_FDCWD, path, times, 0);
	}
	return 0;
}

static void serve_link(const struct request *request)
{
	const struct fuse_link_in *in = request->body;
	const char *name = (const char *)(in + 1);
	char path[32];

	node_proc_path(node_of(in->oldnodeid), path);
	reply_entry(request, name,
		    linkat(AT_FDCWD, path, node_of(request->head->nodeid)->fd, name,
			   AT_SYMLINK_FOLLOW));
}

static void serve_rename(const struct request *request, uint64_t newdir, uint32_t flags,
			 const char *from)
{
	const char *to = from + strlen(from) + 1;
	int source = node_of(request->head->nodeid)->fd;

	reply_status(request, (int)syscall(SYS_renameat2, source, from, node_of(newdir)->fd, to,
					   flags));
}

static void serve_readlink(const struct request *request)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(node_of(request->head->nodeid)->fd, "", target, sizeof(target));

	if (length < 0)
		reply_error(request->head->unique, errno);
	else
		reply_data(request->head->unique, target, (size_t)length);
}

int serve_names(const struct request *request)
{
	const void *body = request->body;
	const char *text = body;
	struct node *node = node_of(request->head->nodeid);

	switch (request->head->opcode) {
	case FUSE_LOOKUP:
		reply_entry(request, text, 0);
		return 1;
	case FUSE_GETATTR:
		reply_attr(request);
		return 1;
	case FUSE_SETATTR:
		if (set_attributes(node, body) < 0)
			reply_error(request->head->unique, errno);
		else
			reply_attr(request);
		return 1;
	case FUSE_READLINK:
		serve_readlink(request);
		return 1;
	case FUSE_SYMLINK:
		reply_entry(request, text, symlinkat(text + strlen(text) + 1, node->fd, text));
		return 1;
	case FUSE_MKNOD: {
		const struct fuse_mknod_in *in = body;
		const char *name = (const char *)(in + 1);

		reply_entry(request, name, mknodat(node->fd, name, in->mode, in->rdev));
		return 1;
	}
	case FUSE_MKDIR: {
		const struct fuse_mkdir_in *in = body;
		const char *name = (const char *)(in + 1);

		reply_entry(request, name, mkdirat(node->fd, name, in->mode));
		return 1;
	}
	case FUSE_UNLINK:
		reply_status(request, unlinkat(node->fd, text, 0));
		return 1;
	case FUSE_RMDIR:
		reply_status(request, unlinkat(node->fd, text, AT_REMOVEDIR));
		return 1;
	case FUSE_RENAME: {
		const struct fuse_rename_in *in = body;

		serve_rename(request, in->newdir, 0, (const char *)(in + 1));
		return 1;
	}
	case FUSE_RENAME2: {
		const struct fuse_rename2_in *in = body;

		serve_rename(request, in->newdir, in->flags, (const char *)(in + 1));
		return 1;
	}
	case FUSE_LINK:
		serve_link(request);
		return 1;
	default:
		return 0;
	}
}
