/*
 * Workloads on many small files. `create` leaves its files f*, which the others use: stat, open_read
 * and rename as many of the first `count` as there are, unlink all. stat and open_read go once over
 * files that were looked at before, but not within the last second: for that long many filesystems
 * answer without knowing whether it is still true. stat_again does not wait.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

static int make_file(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);

	if (fd < 0)
		die("create", path);
	return fd;
}

static void close_file(int fd, const char *path)
{
	if (close(fd) < 0)
		die("close", path);
}

static uint64_t create(struct job *job, uint64_t i)
{
	const char *path = path_of(job, 'f', i);
	int fd = make_file(path, O_EXCL);

	write_all(fd, job->chunk, SMALL_BYTES, path);
	close_file(fd, path);
	return 1;
}

static uint64_t fill(struct job *job, uint64_t i)
{
	const char *path = path_of(job, 'f', i);

	close_file(make_file(path, O_EXCL), path);
	return 1;
}

static int is_there(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return 1;
	if (errno != ENOENT)
		die("stat", path);
	return 0;
}

/* Counts the files, which looks at each once: the measured steps find them warm. */
static void count_files(struct job *job)
{
	while (job->files < job->count && is_there(path_of(job, 'f', job->files)))
		job->files++;
	if (job->files == 0) {
		errno = ENOENT;
		die("no files in", job->folder);
	}
}

static void count_all_files(struct job *job)
{
	job->count = UINT64_MAX;
	count_files(job);
	job->limit = job->files;
}

static uint64_t do_stat(struct job *job, uint64_t i)
{
	const char *path = path_of(job, 'f', i % job->files);

	if (!is_there(path)) {
		errno = ENOENT;
		die("stat", path);
	}
	return 1;
}

static uint64_t open_read(struct job *job, uint64_t i)
{
	const char *path = path_of(job, 'f', i % job->files);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("open", path);
	if (read(fd, job->chunk, SMALL_BYTES) != SMALL_BYTES)
		die("read", path);
	close_file(fd, path);
	return 1;
}

static void grow_old(struct job *job)
{
	nanosleep(&(struct timespec){ 1, 200000000 }, NULL);
	job->limit = job->files;
}

static void stat_all_once(struct job *job)
{
	count_files(job);
	grow_old(job);
}

static void read_all_once(struct job *job)
{
	count_files(job);
	for (uint64_t i = 0; i < job->files; i++)
		open_read(job, i);
	grow_old(job);
}

/* Every second time round it goes back. */
static uint64_t do_rename(struct job *job, uint64_t i)
{
	int back = (int)(i / job->files % 2);
	const char *from = path_of(job, back ? 'r' : 'f', i % job->files);
	const char *to = path_of(job, back ? 'f' : 'r', i % job->files);

	if (rename(from, to) < 0)
		die("rename", from);
	return 1;
}

static void rename_back(struct job *job)
{
	for (uint64_t i = 0; i < job->files; i++) {
		const char *from = path_of(job, 'r', i);

		if (is_there(from) && rename(from, path_of(job, 'f', i)) < 0)
			die("rename", from);
	}
}

static uint64_t do_unlink(struct job *job, uint64_t i)
{
	const char *path = path_of(job, 'f', i);

	if (unlink(path) < 0)
		die("unlink", path);
	return 1;
}

/* A Maildir delivery: t* is what is being written, m* what was delivered. */
static uint64_t deliver(struct job *job, uint64_t i)
{
	const char *from = path_of(job, 't', i);
	const char *to = path_of(job, 'm', i);
	int fd = make_file(from, O_EXCL);

	write_all(fd, job->chunk, SMALL_BYTES, from);
	if (fsync(fd) < 0)
		die("fsync", from);
	close_file(fd, from);
	if (rename(from, to) < 0)
		die("rename", from);
	return 1;
}

const struct workload name_workloads[] = {
	{ "create", NULL, create, NULL, NULL },
	{ "fill", NULL, fill, NULL, NULL },
	{ "stat", stat_all_once, do_stat, NULL, NULL },
	{ "stat_again", count_files, do_stat, NULL, NULL },
	{ "open_read", read_all_once, open_read, NULL, NULL },
	{ "rename", count_files, do_rename, NULL, rename_back },
	{ "unlink", count_all_files, do_unlink, NULL, NULL },
	{ "deliver", NULL, deliver, NULL, NULL },
	{ 0 },
};
