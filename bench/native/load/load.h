/* The load generator of the benchmark: one process, one workload, blocking system calls. */
#ifndef LOAD_H
#define LOAD_H

#include <stdint.h>
#include <stdio.h>

#define SMALL_BYTES 4096
#define CHUNK_BYTES (1 << 20)

struct job {
	const char *folder; /* where to work */
	const char *file;   /* of workloads on one file: its name in the folder */
	const char *source; /* of clone: the repository */
	unsigned index;     /* of this process among those of the workload */
	unsigned processes;
	uint64_t count; /* steps at least */
	uint64_t limit; /* steps at most, 0 = none; prepare() may set it */
	uint64_t bytes; /* of this process in its file; of list and clone: how many files */
	uint64_t from;  /* of tree workloads: the first file */
	uint64_t files; /* of tree workloads: how many there are; else set by the workload */
	/* Of the workload itself. */
	int fd;
	char *chunk;
};

struct workload {
	const char *name;
	void (*prepare)(struct job *job); /* not measured; may be NULL */
	/* Does step `i`; returns the units of work done. */
	uint64_t (*step)(struct job *job, uint64_t i);
	void (*flush)(struct job *job);  /* measured, once at the end; may be NULL */
	void (*finish)(struct job *job); /* not measured; may be NULL */
};

extern const struct workload name_workloads[], file_workloads[], tree_workloads[], program_workloads[];

/* Ends the process with `what`, the path and errno's words. */
void die(const char *what, const char *path) __attribute__((noreturn));
void write_all(int fd, const char *data, size_t length, const char *path);
uint64_t next_random(void);
/* Path of file `i` of this process, with `letter` in front; in one of two buffers in turn. */
const char *path_of(const struct job *job, char letter, uint64_t i);

#endif
