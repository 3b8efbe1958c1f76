/*
 * The floor of the benchmark: one thread that answers the kernel's FUSE requests from a local
 * folder, as directly as it can. Speaks the protocol of <linux/fuse.h> itself. It serves root only:
 * what other users create belongs to root.
 */
#ifndef PASSTHROUGH_H
#define PASSTHROUGH_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define WRITE_MAX (1 << 20)
/* Room for a WRITE of WRITE_MAX with its headers. */
#define BUFFER_BYTES (WRITE_MAX + 8192)
/* What the kernel may believe without asking; the default of libfuse. */
#define VALID_SECONDS 1

struct node {
	int fd; /* O_PATH */
	uint64_t lookups;
	dev_t dev;
	ino_t ino;
	struct node *next;
};

/* One request: its header and what follows it, as the kernel built it. */
struct request {
	const struct fuse_in_header *head;
	const void *body;
};

/* nodes.c: the inodes the kernel knows. */
int nodes_open_root(const char *folder);
struct node *node_of(uint64_t nodeid);
/* The entry `name` of `parent`, counted as one lookup. Returns 0 or -errno. */
int node_lookup(struct node *parent, const char *name, struct fuse_entry_out *out);
void node_forget(uint64_t nodeid, uint64_t count);
void fill_attr(const struct stat *st, struct fuse_attr *attr);
/* Opens a node for real. Returns a descriptor or -errno. */
int node_open(const struct node *node, int flags);
void node_proc_path(const struct node *node, char path[32]);

/* passthrough.c */
void reply_error(uint64_t unique, int error);
void reply_data(uint64_t unique, const void *data, size_t length);

/* names.c, files.c, directories.c, locks.c: each answers the opcodes it knows; 0 = not one of its. */
int serve_names(const struct request *request);
int serve_files(const struct request *request);
int serve_directories(const struct request *request);
int serve_locks(const struct request *request);
/* Takes away the locks set through `fd`, as close(2) does. */
void locks_close(int fd);

#endif
