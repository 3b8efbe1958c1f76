/*
 * passthrough FOLDER MOUNTPOINT: serves FOLDER at MOUNTPOINT until it is unmounted. Prints "ready"
 * when the mount answers.
 */
#define _GNU_SOURCE
#include "passthrough.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#define WANTED_FLAGS                                                                            \
	(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |           \
	 FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |  \
	 FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES)

static int device;

static void reply(uint64_t unique, int error, const void *data, size_t length)
{
	struct fuse_out_header head = { (uint32_t)(sizeof(head) + length), -error, unique };
	struct iovec parts[2] = { { &head, sizeof(head) }, { (void *)data, length } };

	/* ENOENT: whoever asked was interrupted and no longer waits. */
	if (writev(device, parts, length > 0 ? 2 : 1) < 0 && errno != ENOENT)
		perror("passthrough: reply");
}

void reply_error(uint64_t unique, int error)
{
	reply(unique, error, NULL, 0);
}

void reply_data(uint64_t unique, const void *data, size_t length)
{
	reply(unique, 0, data, length);
}

static void serve_init(const struct request *request)
{
	const struct fuse_init_in *in = request->body;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.flags = in->flags & WANTED_FLAGS,
		.max_background = 12,
		.congestion_threshold = 9,
		.max_write = WRITE_MAX,
		.time_gran = 1,
		.max_pages = WRITE_MAX / 4096,
	};

	reply_data(request->head->unique, &out, sizeof(out));
	puts("ready");
	fflush(stdout);
}

static void serve_forgets(const struct request *request)
{
	const struct fuse_batch_forget_in *in = request->body;
	const struct fuse_forget_one *one = (const struct fuse_forget_one *)(in + 1);

	for (uint32_t i = 0; i < in->count; i++)
		node_forget(one[i].nodeid, one[i].nlookup);
}

static void serve(const struct request *request)
{
	switch (request->head->opcode) {
	case FUSE_INIT:
		serve_init(request);
		return;
	case FUSE_FORGET:
		node_forget(request->head->nodeid,
			    ((const struct fuse_forget_in *)request->body)->nlookup);
		return;
	case FUSE_BATCH_FORGET:
		serve_forgets(request);
		return;
	case FUSE_DESTROY:
		reply_error(request->head->unique, 0);
		return;
	default:
		if (!serve_names(request) && !serve_files(request) && !serve_directories(request) &&
		    !serve_locks(request))
			reply_error(request->head->unique, ENOSYS);
	}
}

static void die(const char *what)
{
	fprintf(stderr, "passthrough: %s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int count, char **arguments)
{
	static char buffer[BUFFER_BYTES] __attribute__((aligned(4096)));
	struct rlimit files;
	char options[128];

	if (count != 3) {
		fputs("usage: passthrough FOLDER MOUNTPOINT\n", stderr);
		return 2;
	}
	/* One descriptor for each inode the kernel knows. */
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		die("getrlimit");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		die("setrlimit");
	if (nodes_open_root(arguments[1]) < 0)
		die(arguments[1]);
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("/dev/fuse");
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
	if (mount("passthrough", arguments[2], "fuse.passthrough", MS_NOSUID | MS_NODEV, options) < 0)
		die(arguments[2]);
	/* The kernel has applied the caller's mask to the modes it sends. */
	umask(0);
	for (;;) {
		ssize_t length = read(device, buffer, sizeof(buffer));
		struct request request = { .head = (const struct fuse_in_header *)buffer,
					   .body = buffer + sizeof(struct fuse_in_header) };

		if (length < 0) {
			if (errno == ENODEV)
				return 0; /* unmounted */
			if (errno == EINTR || errno == ENOENT || errno == EAGAIN)
				continue;
			die("read");
		}
		if ((size_t)length < sizeof(struct fuse_in_header))
			continue;
		serve(&request);
	}
}
