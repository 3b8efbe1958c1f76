/*
 * A load on one node that writes down what it did, for the checker in history-checker.ts:
 *
 *   history-load files FOLDER TAG HISTORY RUN SEED PAUSE_US COUNT KIB_MAX OTHERS
 *   history-load locks FOLDER TAG HISTORY RUN SEED PAUSE_US
 *
 * FOLDER is on the mount. HISTORY is a file on the local disk. The load goes on, through any error,
 * until the file RUN is removed. OTHERS: tags of other loads whose files it reads, comma separated.
 *
 * Lines of HISTORY, times in microseconds of CLOCK_MONOTONIC, which all processes share:
 *   b ID TIME KIND OBJECT VALUE    an operation begins
 *   e ID TIME RESULT VALUE         it ended: ok, an errno name or torn
 *   s TIME DURATION CALL RESULT    a system call took longer than SLOW_US
 * An operation without an end was cut off with its process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SLOW_US 20000
#define BLOCK 64
#define CHUNK (512 * 1024)
#define PATH_BYTES 4096
#define OTHERS_MAX 16

static const char *folder, *tag, *run_path;
static int history;
static uint64_t random_state;
static int64_t next_id = 1;
static char *content;

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint32_t below(uint32_t bound)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % bound;
}

static const char *result_name(int error)
{
	static char number[16];

	switch (error) {
	case 0: return "ok";
	case EAGAIN: return "EAGAIN";
	case EBADF: return "EBADF";
	case EDEADLK: return "EDEADLK";
	case EEXIST: return "EEXIST";
	case EINTR: return "EINTR";
	case EIO: return "EIO";
	case ENOENT: return "ENOENT";
	case ENOLCK: return "ENOLCK";
	case ENOSPC: return "ENOSPC";
	case ENOTCONN: return "ENOTCONN";
	case ECONNABORTED: return "ECONNABORTED";
	case EROFS: return "EROFS";
	case ESTALE: return "ESTALE";
	}
	snprintf(number, sizeof(number), "E%d", error);
	return number;
}

static void record(const char *line, int length)
{
	if (write(history, line, length) != length) {
		perror("history-load: history");
		exit(1);
	}
}

static int64_t begin(const char *kind, const char *object, int64_t value)
{
	char line[512];
	int64_t id = next_id++;

	record(line, snprintf(line, sizeof(line), "b %" PRId64 " %" PRId64 " %s %s %" PRId64 "\n", id,
		now_us(), kind, object, value));
	return id;
}

static void end(int64_t id, const char *result, int64_t value)
{
	char line[128];

	record(line, snprintf(line, sizeof(line), "e %" PRId64 " %" PRId64 " %s %" PRId64 "\n", id,
		now_us(), result, value));
}

static int64_t called(const char *call, int64_t from, int64_t value)
{
	int error = value < 0 ? errno : 0;
	int64_t took = now_us() - from;

	if (took >= SLOW_US) {
		char line[128];

		record(line, snprintf(line, sizeof(line), "s %" PRId64 " %" PRId64 " %s %s\n", from, took,
			call, result_name(error)));
	}
	errno = error;
	return value;
}

/* Each system call on the mount goes through one of these. */
#define CALL(name, expression) \
	({ int64_t from_ = now_us(); errno = 0; called(name, from_, (int64_t)(expression)); })

static int running(void)
{
	return access(run_path, F_OK) == 0;
}

/* COUNT blocks, each of which says what it belongs to and which it is. */
static size_t make_content(const char *label, int64_t version, int64_t count)
{
	for (int64_t i = 0; i < count; i++) {
		char *block = content + i * BLOCK;
		int length = snprintf(block, BLOCK, "%s %" PRId64 " %" PRId64 " %" PRId64 " ", label,
			version, count, i);

		memset(block + length, '.', BLOCK - 1 - length);
		block[BLOCK - 1] = '\n';
	}
	return count * BLOCK;
}

/* 0 or errno. */
static int write_all(const char *call, int fd, const char *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		size_t part = size - done < CHUNK ? size - done : CHUNK;
		ssize_t written = CALL(call, write(fd, data + done, part));

		if (written < 0)
			return errno;
		done += written;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	int fd = CALL("open", open(path, O_RDONLY | O_DIRECTORY));
	int error = 0;

	if (fd < 0)
		return errno;
	if (CALL("fsync", fsync(fd)) != 0)
		error = errno;
	close(fd);
	return error;
}

/* A new version through a temporary name: what is found is always exactly one version. */
static int put(const char *name, int64_t version, int64_t blocks, int durable)
{
	char path[PATH_BYTES], temporary[PATH_BYTES];
	size_t size = make_content(name, version, blocks);
	int fd, error;

	snprintf(path, sizeof(path), "%s/files/%s", folder, name);
	snprintf(temporary, sizeof(temporary), "%s/files/.%s", folder, name);
	fd = CALL("open", open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644));
	if (fd < 0)
		return errno;
	error = write_all("write", fd, content, size);
	if (error == 0 && durable && CALL("fsync", fsync(fd)) != 0)
		error = errno;
	if (CALL("close", close(fd)) != 0 && error == 0)
		error = errno;
	if (error == 0 && CALL("rename", rename(temporary, path)) != 0)
		error = errno;
	if (error == 0 && durable) {
		snprintf(path, sizeof(path), "%s/files", folder);
		error = sync_folder(path);
	}
	return error;
}

/* The version found, 0 when there is no file, -1 when it is not whole, -2 - errno. */
static int64_t look(const char *name)
{
	char path[PATH_BYTES];
	char header[BLOCK], label[BLOCK];
	int64_t version, count, size = 0;
	struct stat stat;
	int fd;

	snprintf(path, sizeof(path), "%s/files/%s", folder, name);
	fd = CALL("open", open(path, O_RDONLY));
	if (fd < 0)
		return errno == ENOENT ? 0 : -2 - errno;
	if (CALL("fstat", fstat(fd, &stat)) != 0) {
		int error = errno;

		close(fd);
		return -2 - error;
	}
	while (size < stat.st_size) {
		ssize_t part = CALL("read", read(fd, content + size, stat.st_size - size));

		if (part < 0) {
			int error = errno;

			close(fd);
			return -2 - error;
		}
		if (part == 0)
			break;
		size += part;
	}
	close(fd);
	if (size < BLOCK || size != stat.st_size)
		return -1;
	memcpy(header, content, BLOCK);
	header[BLOCK - 1] = 0;
	if (sscanf(header, "%63s %" SCNd64 " %" SCNd64, label, &version, &count) != 3 ||
			strcmp(label, name) != 0 || count * BLOCK != size)
		return -1;
	for (int64_t i = 0; i < count; i++) {
		char expected[BLOCK + 1];
		int length = snprintf(expected, sizeof(expected), "%s %" PRId64 " %" PRId64 " %" PRId64 " ",
			name, version, count, i);

		memset(expected + length, '.', BLOCK - 1 - length);
		expected[BLOCK - 1] = '\n';
		if (memcmp(expected, content + i * BLOCK, BLOCK) != 0)
			return -1;
	}
	return version;
}

static void put_step(int count, int kib_max, int64_t version)
{
	char name[64], path[PATH_BYTES];
	int durable = below(2) == 0;
	int64_t id;

	snprintf(name, sizeof(name), "%s-%u", tag, below(count));
	if (below(10) == 0) {
		id = begin(durable ? "removeSync" : "remove", name, version);
		snprintf(path, sizeof(path), "%s/files/%s", folder, name);
		int error = CALL("unlink", unlink(path)) == 0 || errno == ENOENT ? 0 : errno;

		snprintf(path, sizeof(path), "%s/files", folder);
		if (error == 0 && durable)
			error = sync_folder(path);
		end(id, result_name(error), version);
		return;
	}
	int64_t blocks = 1 + below(kib_max * 1024 / BLOCK);

	id = begin(durable ? "putSync" : "put", name, version);
	end(id, result_name(put(name, version, blocks, durable)), version);
}

static void read_step(int count, char *const *others, int other_count)
{
	char name[64];
	const char *whose = other_count == 0 ? tag : others[below(other_count)];

	snprintf(name, sizeof(name), "%s-%u", whose, below(count));
	int64_t id = begin("read", name, 0);
	int64_t found = look(name);

	end(id, found >= 0 ? "ok" : found == -1 ? "torn" : result_name(-2 - found), found);
}

/* One file goes back and forth between two folders: it is always in exactly one of them. */
static void move_step(int *side)
{
	char from[PATH_BYTES], to[PATH_BYTES], name[64];

	snprintf(from, sizeof(from), "%s/%s/%s", folder, *side ? "right" : "left", tag);
	snprintf(to, sizeof(to), "%s/%s/%s", folder, *side ? "left" : "right", tag);
	snprintf(name, sizeof(name), "%s", tag);
	int64_t id = begin("move", name, !*side);
	int error = CALL("rename", rename(from, to)) == 0 ? 0 : errno;

	/* Which side it is on after an error has to be found out. */
	if (error != 0)
		*side = access(to, F_OK) == 0 ? !*side : *side;
	else
		*side = !*side;
	end(id, result_name(error), *side);
}

static int make_moved(void)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/left/%s", folder, tag);
	int fd = CALL("open", open(path, O_WRONLY | O_CREAT | O_EXCL, 0644));

	if (fd < 0)
		return -1;
	size_t size = make_content(tag, 1, 4);
	int error = write_all("write", fd, content, size);

	if (error == 0 && CALL("fsync", fsync(fd)) != 0)
		error = errno;
	close(fd);
	snprintf(path, sizeof(path), "%s/left", folder);
	return error == 0 && sync_folder(path) == 0 ? 0 : -1;
}

static void run_files(int pause_us, int count, int kib_max, char *others_text)
{
	char *others[OTHERS_MAX];
	int other_count = 0, side = 0, moved;

	for (char *other = strtok(others_text, ","); other != NULL && other_count < OTHERS_MAX;
			other = strtok(NULL, ","))
		others[other_count++] = other;
	content = malloc((size_t)kib_max * 1024 + 1024 * 1024);
	moved = make_moved() == 0;
	for (int64_t version = 1; running(); version++) {
		put_step(count, kib_max, version);
		read_step(count, others, other_count);
		if (moved && below(4) == 0)
			move_step(&side);
		usleep(pause_us);
	}
}

static int line_text(char *line, int64_t number)
{
	int length = snprintf(line, 160, "%s %" PRId64 " ", tag, number);
	int fill = 20 + below(80);

	memset(line + length, 'x', fill);
	length += fill;
	line[length++] = '!';
	line[length++] = '\n';
	return length;
}

static int reopen(int fd, const char *name, int flags)
{
	char path[PATH_BYTES];

	if (fd >= 0)
		CALL("close", close(fd));
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return CALL("open", open(path, O_RDWR | O_CREAT | flags, 0644));
}

static int set_lock(int fd, int type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	return CALL(type == F_UNLCK ? "unlock" : "lock", fcntl(fd, F_SETLKW, &lock)) == 0 ? 0 : errno;
}

/* O_APPEND alone keeps these lines apart. */
static int append_step(int fd, int64_t number)
{
	char line[160];
	int length = line_text(line, number);
	int64_t id = begin("line", "log", number);
	int error = CALL("write", write(fd, line, length)) == length ? 0 : errno;

	end(id, result_name(error), number);
	if (error == 0 && below(8) == 0) {
		id = begin("sync", "log", number);
		error = CALL("fsync", fsync(fd)) == 0 ? 0 : errno;
		end(id, result_name(error), number);
	}
	return error;
}

/* The lock alone keeps these apart: the end of the file is looked up, then written at. */
static int mbox_line(int fd, int64_t number)
{
	char line[160];
	int length = line_text(line, number);
	struct stat stat;
	int64_t id = begin("line", "mbox", number);
	int error = CALL("fstat", fstat(fd, &stat)) == 0 ? 0 : errno;

	if (error == 0 && CALL("write", pwrite(fd, line, length, stat.st_size)) != length)
		error = errno;
	end(id, result_name(error), number);
	if (error == 0 && below(4) == 0) {
		id = begin("sync", "mbox", number);
		error = CALL("fsync", fsync(fd)) == 0 ? 0 : errno;
		end(id, result_name(error), number);
	}
	return error;
}

/* Reads, adds one, makes it durable: no value is given out twice. */
static int count_up(int fd)
{
	char text[32] = "";
	int64_t id = begin("count", "counter", 0), value = 0;
	int error = CALL("read", pread(fd, text, sizeof(text) - 1, 0)) >= 0 ? 0 : errno;

	if (error == 0) {
		value = atoll(text) + 1;
		int length = snprintf(text, sizeof(text), "%020" PRId64 "\n", value);

		if (CALL("write", pwrite(fd, text, length, 0)) != length)
			error = errno;
		else if (CALL("fsync", fsync(fd)) != 0)
			error = errno;
	}
	end(id, result_name(error), value);
	return error;
}

static int under_lock(int fd, const char *object, int64_t number)
{
	int64_t id = begin("lock", object, number);
	int error = set_lock(fd, F_WRLCK);

	end(id, result_name(error), number);
	if (error != 0)
		return error;
	error = strcmp(object, "mbox") == 0 ? mbox_line(fd, number) : count_up(fd);
	id = begin("unlock", object, number);
	int failed = set_lock(fd, F_UNLCK);

	end(id, result_name(failed), number);
	return error != 0 ? error : failed;
}

static void run_locks(int pause_us)
{
	int log = -1, mbox = -1, counter = -1;

	for (int64_t number = 1; running(); number++) {
		if (log < 0)
			log = reopen(log, "log", O_APPEND);
		if (mbox < 0)
			mbox = reopen(mbox, "mbox", 0);
		if (counter < 0)
			counter = reopen(counter, "counter", 0);
		if (log >= 0 && append_step(log, number) != 0)
			log = reopen(log, "log", O_APPEND);
		if (mbox >= 0 && under_lock(mbox, "mbox", number) != 0)
			mbox = reopen(mbox, "mbox", 0);
		if (counter >= 0 && number % 4 == 0 && under_lock(counter, "counter", number) != 0)
			counter = reopen(counter, "counter", 0);
		usleep(log < 0 || mbox < 0 || counter < 0 ? 50000 : pause_us);
	}
}

int main(int argc, char **argv)
{
	if (argc < 8) {
		fprintf(stderr, "history-load: see the head of its source\n");
		return 2;
	}
	folder = argv[2];
	tag = argv[3];
	run_path = argv[5];
	random_state = strtoull(argv[6], NULL, 10) * 2654435761u + 1;
	history = open(argv[4], O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (history < 0) {
		perror("history-load: history");
		return 1;
	}
	if (strcmp(argv[1], "locks") == 0)
		run_locks(atoi(argv[7]));
	else if (strcmp(argv[1], "files") == 0 && argc == 11)
		run_files(atoi(argv[7]), atoi(argv[8]), atoi(argv[9]), argv[10]);
	else
		return 2;
	return 0;
}
