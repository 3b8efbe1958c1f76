/* Requests about open files. A handle is the descriptor. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "passthrough.h"

static char read_buffer[BUFFER_BYTES];

static void serve_open(const struct request *request)
{
	const struct fuse_open_in *in = request->body;
	struct fuse_open_out out = { 0 };
	int fd = node_open(node_of(request->head->nodeid), (int)in->flags);

	if (fd < 0) {
		reply_error(request->head->unique, -fd);
		return;
	}
	out.fh = (uint64_t)fd;
	reply_data(request->head->unique, &out, sizeof(out));
}

static void serve_create(const struct request *request)
{
	const struct fuse_create_in *in = request->body;
	const char *name = (const char *)(in + 1);
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	struct node *parent = node_of(request->head->nodeid);
	int result, fd = openat(parent->fd, name, ((int)in->flags | O_CREAT | O_CLOEXEC) & ~O_NOFOLLOW,
				in->mode);

	if (fd < 0) {
		reply_error(request->head->unique, errno);
		return;
	}
	memset(&out, 0, sizeof(out));
	result = node_lookup(parent, name, &out.entry);
	if (result < 0) {
		close(fd);
		reply_error(request->head->unique, -result);
		return;
	}
	out.open.fh = (uint64_t)fd;
	reply_data(request->head->unique, &out, sizeof(out));
}

static void serve_read(const struct request *request)
{
	const struct fuse_read_in *in = request->body;
	size_t size = in->size < sizeof(read_buffer) ? in->size : sizeof(read_buffer);
	ssize_t length = pread((int)in->fh, read_buffer, size, (off_t)in->offset);

	if (length < 0)
		reply_error(request->head->unique, errno);
	else
		reply_data(request->head->unique, read_buffer, (size_t)length);
}

static void serve_write(const struct request *request)
{
	const struct fuse_write_in *in = request->body;
	struct fuse_write_out out = { 0 };
	ssize_t length = pwrite((int)in->fh, in + 1, in->size, (off_t)in->offset);

	if (length < 0) {
		reply_error(request->head->unique, errno);
		return;
	}
	out.size = (uint32_t)length;
	reply_data(request->head->unique, &out, sizeof(out));
}

static void serve_statfs(const struct request *request)
{
	struct fuse_statfs_out out = { 0 };
	struct statvfs st;

	if (fstatvfs(node_of(request->head->nodeid)->fd, &st) < 0) {
		reply_error(request->head->unique, errno);
		return;
	}
	out.st = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize,
		.namelen = (uint32_t)st.f_namemax,
		.frsize = (uint32_t)st.f_frsize,
	};
	reply_data(request->head->unique, &out, sizeof(out));
}

static void serve_fsync(const struct request *request)
{
	const struct fuse_fsync_in *in = request->body;
	int fd = (int)in->fh;
	int result = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(fd) : fsync(fd);

	reply_error(request->head->unique, result < 0 ? errno : 0);
}

int serve_files(const struct request *request)
{
	switch (request->head->opcode) {
	case FUSE_OPEN:
		serve_open(request);
		return 1;
	case FUSE_CREATE:
		serve_create(request);
		return 1;
	case FUSE_READ:
		serve_read(request);
		return 1;
	case FUSE_WRITE:
		serve_write(request);
		return 1;
	case FUSE_FSYNC:
		serve_fsync(request);
		return 1;
	case FUSE_STATFS:
		serve_statfs(request);
		return 1;
	case FUSE_FLUSH: {
		const struct fuse_flush_in *in = request->body;

		locks_close((int)in->fh);
		reply_error(request->head->unique, 0);
		return 1;
	}
	case FUSE_RELEASE: {
		const struct fuse_release_in *in = request->body;

		reply_error(request->head->unique, close((int)in->fh) < 0 ? errno : 0);
		return 1;
	}
	case FUSE_FALLOCATE: {
		const struct fuse_fallocate_in *in = request->body;
		int result = fallocate((int)in->fh, (int)in->mode, (off_t)in->offset, (off_t)in->length);

		reply_error(request->head->unique, result < 0 ? errno : 0);
		return 1;
	}
	default:
		return 0;
	}
}
