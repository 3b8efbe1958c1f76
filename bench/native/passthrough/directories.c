/* Requests about open directories. A handle is the address of a DIR. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "passthrough.h"

static char list_buffer[BUFFER_BYTES];

static DIR *stream_of(uint64_t fh)
{
	return (DIR *)(uintptr_t)fh;
}

static void serve_opendir(const struct request *request)
{
	struct fuse_open_out out = { 0 };
	int fd = node_open(node_of(request->head->nodeid), O_RDONLY | O_DIRECTORY);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (stream == NULL) {
		reply_error(request->head->unique, fd < 0 ? -fd : errno);
		return;
	}
	out.fh = (uint64_t)(uintptr_t)stream;
	reply_data(request->head->unique, &out, sizeof(out));
}

static int is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Puts one entry at `at`; returns its length, 0 when it does not fit or is gone. */
static size_t put_entry(struct node *parent, const struct dirent *entry, char *at, size_t room,
			int plus)
{
	size_t name_length = strlen(entry->d_name);
	size_t before_name = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	size_t length = FUSE_DIRENT_ALIGN(before_name + name_length);
	struct fuse_dirent *out;

	if (length > room)
		return 0;
	memset(at, 0, length);
	out = plus ? &((struct fuse_direntplus *)at)->dirent : (struct fuse_dirent *)at;
	/* An entry of a plus list without a node is allowed: the kernel looks it up when needed. */
	if (plus && !is_dots(entry->d_name))
		node_lookup(parent, entry->d_name, &((struct fuse_direntplus *)at)->entry_out);
	out->ino = entry->d_ino;
	out->off = (uint64_t)entry->d_off;
	out->namelen = (uint32_t)name_length;
	out->type = entry->d_type;
	memcpy(out->name, entry->d_name, name_length);
	return length;
}

static void serve_readdir(const struct request *request, int plus)
{
	const struct fuse_read_in *in = request->body;
	struct node *parent = node_of(request->head->nodeid);
	DIR *stream = stream_of(in->fh);
	size_t size = in->size < sizeof(list_buffer) ? in->size : sizeof(list_buffer);
	size_t length = 0;

	if ((uint64_t)telldir(stream) != in->offset)
		seekdir(stream, (long)in->offset);
	for (;;) {
		long before = telldir(stream);
		struct dirent *entry;
		size_t added;

		errno = 0;
		entry = readdir(stream);
		if (entry == NULL) {
			if (errno != 0 && length == 0) {
				reply_error(request->head->unique, errno);
				return;
			}
			break;
		}
		added = put_entry(parent, entry, list_buffer + length, size - length, plus);
		if (added == 0) {
			seekdir(stream, before);
			break;
		}
		length += added;
	}
	reply_data(request->head->unique, list_buffer, length);
}

int serve_directories(const struct request *request)
{
	switch (request->head->opcode) {
	case FUSE_OPENDIR:
		serve_opendir(request);
		return 1;
	case FUSE_READDIR:
		serve_readdir(request, 0);
		return 1;
	case FUSE_READDIRPLUS:
		serve_readdir(request, 1);
		return 1;
	case FUSE_RELEASEDIR: {
		const struct fuse_release_in *in = request->body;

		closedir(stream_of(in->fh));
		reply_error(request->head->unique, 0);
		return 1;
	}
	case FUSE_FSYNCDIR: {
		const struct fuse_fsync_in *in = request->body;

		reply_error(request->head->unique, fsync(dirfd(stream_of(in->fh))) < 0 ? errno : 0);
		return 1;
	}
	default:
		return 0;
	}
}
