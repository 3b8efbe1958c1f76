/*
 * load WORKLOAD FOLDER [NAME=VALUE ...]: prepares, prints "ready", waits for a line on its standard
 * input, works, and prints one JSON object. Values: index, processes, count, limit, min_ms, max_ms,
 * bytes, from, files, file, source. It works until `count` steps are done and `min_ms` have passed, at most `limit`
 * steps and `max_ms`. Times are of CLOCK_MONOTONIC, so those of several processes can be compared.
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Latencies: 16 classes for each power of two of nanoseconds. */
#define CLASSES (64 * 16)

static uint64_t latencies[CLASSES];

void die(const char *what, const char *path)
{
	fprintf(stderr, "load: %s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

void write_all(int fd, const char *data, size_t length, const char *path)
{
	while (length > 0) {
		ssize_t done = write(fd, data, length);

		if (done <= 0)
			die("write", path);
		data += done;
		length -= (size_t)done;
	}
}

const char *path_of(const struct job *job, char letter, uint64_t i)
{
	static char paths[2][4096];
	static unsigned turn;
	char *path = paths[turn++ & 1];

	snprintf(path, sizeof(paths[0]), "%s/%c%u-%llu", job->folder, letter, job->index,
		 (unsigned long long)i);
	return path;
}

uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned class_of(uint64_t ns)
{
	unsigned power = 63 - (unsigned)__builtin_clzll(ns | 16);

	return power * 16 + (unsigned)((ns >> (power - 4)) & 15);
}

static double quantile_us(double share, uint64_t steps)
{
	uint64_t seen = 0;

	for (unsigned class = 0; class < CLASSES; class++) {
		seen += latencies[class];
		if (seen > 0 && (double)seen >= share * (double)steps)
			return (double)(16 + class % 16) * (double)(1ull << (class / 16)) / 16e3;
	}
	return 0;
}

static const struct workload *find_workload(const char *name)
{
	const struct workload *const tables[] = { name_workloads, file_workloads, tree_workloads,
						   program_workloads };

	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct workload *one = tables[i]; one->name != NULL; one++)
			if (strcmp(one->name, name) == 0)
				return one;
	fprintf(stderr, "load: no workload %s\n", name);
	exit(2);
}

struct bounds {
	uint64_t min_ns, max_ns;
};

static void take_value(struct job *job, struct bounds *bounds, const char *argument)
{
	const char *equals = strchr(argument, '=');
	size_t length = equals == NULL ? 0 : (size_t)(equals - argument);
	uint64_t number = equals == NULL ? 0 : strtoull(equals + 1, NULL, 10);

#define IS(name) (length == sizeof(name) - 1 && memcmp(argument, name, length) == 0)
	if (IS("index"))
		job->index = (unsigned)number;
	else if (IS("processes"))
		job->processes = (unsigned)number;
	else if (IS("count"))
		job->count = number;
	else if (IS("limit"))
		job->limit = number;
	else if (IS("from"))
		job->from = number;
	else if (IS("files"))
		job->files = number;
	else if (IS("bytes"))
		job->bytes = number;
	else if (IS("min_ms"))
		bounds->min_ns = number * 1000000;
	else if (IS("max_ms"))
		bounds->max_ns = number * 1000000;
	else if (IS("file"))
		job->file = equals + 1;
	else if (IS("source"))
		job->source = equals + 1;
	else {
		fprintf(stderr, "load: what is %s?\n", argument);
		exit(2);
	}
#undef IS
}

static void make_folder(const char *folder)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s", folder);
	for (char *at = path + 1;; at++) {
		char here = *at;

		if (here != '/' && here != 0)
			continue;
		*at = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS)
			die("mkdir", path);
		*at = here;
		if (here == 0)
			return;
	}
}

static void work(const struct workload *workload, struct job *job, const struct bounds *bounds)
{
	uint64_t units = 0, steps = 0, start = now_ns(), before = start, now = start;

	while (job->limit == 0 || steps < job->limit) {
		units += workload->step(job, steps++);
		now = now_ns();
		latencies[class_of(now - before)]++;
		before = now;
		if (now - start >= bounds->max_ns)
			break;
		if (steps >= job->count && now - start >= bounds->min_ns)
			break;
	}
	if (workload->flush != NULL) {
		workload->flush(job);
		now = now_ns();
	}
	printf("{\"units\":%llu,\"steps\":%llu,\"startNs\":%llu,\"endNs\":%llu,\"p50Us\":%.1f,"
	       "\"p99Us\":%.1f}\n",
	       (unsigned long long)units, (unsigned long long)steps, (unsigned long long)start,
	       (unsigned long long)now, quantile_us(0.5, steps), quantile_us(0.99, steps));
	fflush(stdout);
}

int main(int count, char **arguments)
{
	struct job job = { .processes = 1, .count = 1, .file = "file", .fd = -1 };
	struct bounds bounds = { 0, 60000000000u };
	const struct workload *workload;
	char line[16];

	if (count < 3) {
		fputs("usage: load WORKLOAD FOLDER [NAME=VALUE ...]\n", stderr);
		return 2;
	}
	workload = find_workload(arguments[1]);
	job.folder = arguments[2];
	for (int i = 3; i < count; i++)
		take_value(&job, &bounds, arguments[i]);
	job.chunk = malloc(CHUNK_BYTES);
	if (job.chunk == NULL)
		die("malloc", "");
	for (unsigned i = 0; i < CHUNK_BYTES; i++)
		job.chunk[i] = (char)(i * 2654435761u >> 13);
	make_folder(job.folder);
	if (workload->prepare != NULL)
		workload->prepare(&job);
	puts("ready");
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return 0;
	work(workload, &job, &bounds);
	if (workload->finish != NULL)
		workload->finish(&job);
	return 0;
}
