/* Workloads on one file: `file` of the folder, shared by several processes or not. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "load.h"

#define APPEND_BYTES 100

static const char *file_path(const struct job *job)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", job->folder, job->file);
	return path;
}

static void open_file(struct job *job, int flags)
{
	job->fd = open(file_path(job), flags | O_CLOEXEC, 0644);
	if (job->fd < 0)
		die("open", file_path(job));
}

static void sync_file(struct job *job)
{
	if (fsync(job->fd) < 0)
		die("fsync", file_path(job));
}

static void open_for_locks(struct job *job)
{
	open_file(job, O_RDWR | O_CREAT);
}

static void set_lock(const struct job *job, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = job->index, .l_len = 1 };

	if (fcntl(job->fd, F_SETLK, &lock) < 0)
		die("lock", file_path(job));
}

/* A byte of its own: nobody else wants it. */
static uint64_t lock_unlock(struct job *job, uint64_t i)
{
	(void)i;
	set_lock(job, F_WRLCK);
	set_lock(job, F_UNLCK);
	return 1;
}

static void write_part(struct job *job)
{
	uint64_t from = job->bytes * job->index, at = from;

	open_file(job, O_RDWR | O_CREAT);
	while (at < from + job->bytes) {
		ssize_t done = pwrite(job->fd, job->chunk, CHUNK_BYTES, (off_t)at);

		if (done <= 0)
			die("write", file_path(job));
		at += (uint64_t)done;
	}
	sync_file(job);
}

/* Each process has a part of `bytes` for itself, the parts lie one after the other. */
static uint64_t random_write(struct job *job, uint64_t i)
{
	uint64_t page = next_random() % (job->bytes / SMALL_BYTES);
	off_t at = (off_t)(job->bytes * job->index + page * SMALL_BYTES);

	job->chunk[0] = (char)i;
	if (pwrite(job->fd, job->chunk, SMALL_BYTES, at) != SMALL_BYTES)
		die("write", file_path(job));
	return 1;
}

static void open_for_append(struct job *job)
{
	open_file(job, O_WRONLY | O_CREAT | O_APPEND);
}

static uint64_t append(struct job *job, uint64_t i)
{
	(void)i;
	if (write(job->fd, job->chunk, APPEND_BYTES) != APPEND_BYTES)
		die("append", file_path(job));
	return 1;
}

static void open_new(struct job *job)
{
	open_file(job, O_WRONLY | O_CREAT | O_TRUNC);
}

static uint64_t stream_write(struct job *job, uint64_t i)
{
	job->chunk[0] = (char)i;
	write_all(job->fd, job->chunk, CHUNK_BYTES, file_path(job));
	return 1;
}

static void check_file(struct job *job)
{
	open_file(job, O_RDONLY);
}

static uint64_t stream_read(struct job *job, uint64_t i)
{
	size_t length = 0;

	(void)i;
	while (length < CHUNK_BYTES) {
		ssize_t got = read(job->fd, job->chunk + length, CHUNK_BYTES - length);

		if (got == 0)
			errno = ENODATA;
		if (got <= 0)
			die("read", file_path(job));
		length += (size_t)got;
	}
	return 1;
}

const struct workload file_workloads[] = {
	{ "lock", open_for_locks, lock_unlock, NULL, NULL },
	{ "random_write", write_part, random_write, NULL, NULL },
	{ "append", open_for_append, append, NULL, NULL },
	{ "stream_write", open_new, stream_write, sync_file, NULL },
	{ "stream_read", check_file, stream_read, NULL, NULL },
	{ 0 },
};
