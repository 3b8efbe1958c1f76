/*
 * Workloads on a large tree: file number n is d<n / 1000>/f<n>. tree_fill makes the files from..files-1,
 * several processes in turn; tree_stat and tree_read look at different ones all over the tree.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"

#define FILES_PER_FOLDER 1000
#define CONTENT_BYTES 100
/* A prime: it comes to every file before it comes to one again. */
#define STRIDE 7919

static const char *tree_path(const struct job *job, uint64_t number, int is_folder)
{
	static char path[4096];
	unsigned long long folder = number / FILES_PER_FOLDER, file = number;

	if (is_folder)
		snprintf(path, sizeof(path), "%s/d%llu", job->folder, folder);
	else
		snprintf(path, sizeof(path), "%s/d%llu/f%llu", job->folder, folder, file);
	return path;
}

static void share_out(struct job *job)
{
	uint64_t all = job->files - job->from;

	job->limit = (all + job->processes - 1 - job->index) / job->processes;
	job->count = job->limit;
}

static uint64_t tree_fill(struct job *job, uint64_t i)
{
	uint64_t number = job->from + i * job->processes + job->index;
	const char *path = tree_path(job, number, 1);
	int fd;

	/* The first of each process in a folder; the others find it there. */
	if ((i == 0 || number % FILES_PER_FOLDER < job->processes) && mkdir(path, 0755) < 0 &&
	    errno != EEXIST)
		die("mkdir", path);
	path = tree_path(job, number, 0);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		die("create", path);
	write_all(fd, job->chunk, CONTENT_BYTES, path);
	if (close(fd) < 0)
		die("close", path);
	return 1;
}

static uint64_t tree_stat(struct job *job, uint64_t i)
{
	const char *path = tree_path(job, i * STRIDE % job->files, 0);
	struct stat st;

	if (stat(path, &st) < 0)
		die("stat", path);
	return 1;
}

static uint64_t tree_read(struct job *job, uint64_t i)
{
	const char *path = tree_path(job, i * STRIDE % job->files, 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die("open", path);
	if (read(fd, job->chunk, SMALL_BYTES) != CONTENT_BYTES)
		die("read", path);
	close(fd);
	return 1;
}

const struct workload tree_workloads[] = {
	{ "tree_fill", share_out, tree_fill, NULL, NULL },
	{ "tree_stat", NULL, tree_stat, NULL, NULL },
	{ "tree_read", NULL, tree_read, NULL, NULL },
	{ 0 },
};
