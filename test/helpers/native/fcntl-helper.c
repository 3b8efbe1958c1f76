/*
 * File locks for the tests: Node has no fcntl. Each command prints one JSON object a line.
 *
 *   fcntl-helper serve                              steps from stdin, one a line, see serve()
 *   fcntl-helper count KIND FILE GUARD ROUNDS RANGES    counter in FILE under a lock
 *   fcntl-helper sum FILE RANGES                   what the counters add up to
 *   fcntl-helper pingpong FILE N SECONDS rw|- DELAY_MS  the ping_pong of ctdb, in small
 *   fcntl-helper pair KIND FILE COUNT               lock and unlock, nobody else
 *   fcntl-helper lockfile FILE GUARD SECONDS        open, flock, check inode, work, unlink, close
 *   fcntl-helper region FILE INDEX REGION_BYTES COUNT   4 KiB writes under range locks
 *   fcntl-helper mbox FILE TAG COUNT                append messages under an fcntl lock
 *
 * KIND is posix, ofd or flock. GUARD is a file outside of the mount, mapped by all processes of a
 * test: whoever is inside counts itself there, so that two at a time are seen whatever the
 * filesystem under test says.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 64
#define RANGES_MAX 64

struct guard {
	_Atomic int inside[RANGES_MAX];
	_Atomic int overlaps;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static const char *errno_name(int error)
{
	static char number[16];

	switch (error) {
	case EAGAIN: return "EAGAIN";
	case EACCES: return "EACCES";
	case EBADF: return "EBADF";
	case EDEADLK: return "EDEADLK";
	case EINTR: return "EINTR";
	case EINVAL: return "EINVAL";
	case EIO: return "EIO";
	case ENOENT: return "ENOENT";
	case ENOLCK: return "ENOLCK";
	case ENOSYS: return "ENOSYS";
	case ENOTCONN: return "ENOTCONN";
	case ESTALE: return "ESTALE";
	}
	snprintf(number, sizeof(number), "E%d", error);
	return number;
}

static void die(const char *what)
{
	printf("{\"ok\":false,\"code\":\"%s\",\"what\":\"%s\"}\n", errno_name(errno), what);
	exit(1);
}

/* Returns 0 or -1 with errno. type is F_RDLCK, F_WRLCK or F_UNLCK. */
static int set_lock(const char *kind, int fd, int type, int wait, int64_t start, int64_t length)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length
	};

	if (strcmp(kind, "flock") == 0) {
		int how = type == F_UNLCK ? LOCK_UN : type == F_RDLCK ? LOCK_SH : LOCK_EX;

		return flock(fd, wait ? how : how | LOCK_NB);
	}
	if (strcmp(kind, "ofd") == 0)
		return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	return fcntl(fd, wait ? F_SETLKW : F_SETLK, &lock);
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0)
		die("open");
	return fd;
}

static struct guard *map_guard(const char *path)
{
	int fd = open_file(path, O_RDWR | O_CREAT);
	struct guard *guard;

	if (ftruncate(fd, sizeof(*guard)) != 0)
		die("ftruncate");
	guard = mmap(NULL, sizeof(*guard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (guard == MAP_FAILED)
		die("mmap");
	close(fd);
	return guard;
}

static void enter(struct guard *guard, int range)
{
	if (atomic_fetch_add(&guard->inside[range], 1) != 0)
		atomic_fetch_add(&guard->overlaps, 1);
}

static void leave(struct guard *guard, int range)
{
	atomic_fetch_sub(&guard->inside[range], 1);
}

static int by_number(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return left < right ? -1 : left > right;
}

/* Adds 1 to one of the counters, each guarded by its own 8 bytes; flock guards all of them. */
static int count(const char *kind, const char *path, const char *guard_path, int rounds, int ranges)
{
	struct guard *guard = map_guard(guard_path);
	int fd = open_file(path, O_RDWR | O_CREAT);
	int done = 0, errors = 0, deadlocks = 0;
	int64_t start = now_us(), longest = 0;

	if (strcmp(kind, "flock") == 0 || ranges > RANGES_MAX)
		ranges = 1;
	for (int i = 0; i < rounds; i++) {
		int range = (i + getpid()) % ranges;
		int64_t at = range * 8, value = 0, asked = now_us(), waited;

		if (set_lock(kind, fd, F_WRLCK, 1, at, 8) != 0) {
			errors++;
			deadlocks += errno == EDEADLK;
			continue;
		}
		waited = now_us() - asked;
		if (waited > longest)
			longest = waited;
		enter(guard, range);
		if (pread(fd, &value, sizeof(value), at) < 0)
			die("pread");
		value++;
		if (pwrite(fd, &value, sizeof(value), at) != sizeof(value))
			die("pwrite");
		leave(guard, range);
		if (set_lock(kind, fd, F_UNLCK, 1, at, 8) != 0)
			errors++;
		done++;
	}
	printf("{\"ok\":true,\"done\":%d,\"errors\":%d,\"deadlocks\":%d,\"overlaps\":%d,"
		"\"us\":%lld,\"longestUs\":%lld}\n", done, errors, deadlocks,
		atomic_load(&guard->overlaps), (long long)(now_us() - start), (long long)longest);
	return 0;
}

static int sum(const char *path, int ranges)
{
	int fd = open_file(path, O_RDONLY);
	int64_t total = 0, value;

	for (int i = 0; i < ranges; i++) {
		value = 0;
		if (pread(fd, &value, sizeof(value), i * 8) < 0)
			die("pread");
		total += value;
	}
	printf("{\"ok\":true,\"done\":%lld}\n", (long long)total);
	return 0;
}

/* Walks around N bytes: locks the next before it unlocks the last, as ping_pong does. */
static int pingpong(const char *path, int n, double seconds, int rw, int delay_ms)
{
	int fd = open_file(path, O_RDWR | O_CREAT);
	unsigned char *seen = calloc(n + 1, 1);
	int64_t start, end, locks = 0;
	int64_t by_increment[8] = { 0 };
	int at = 0, errors = 0, usual = 0;

	if (ftruncate(fd, n + 1) != 0)
		die("ftruncate");
	if (delay_ms > 0)
		usleep(delay_ms * 1000);
	start = now_us();
	end = start + (int64_t)(seconds * 1e6);
	if (set_lock("posix", fd, F_WRLCK, 1, 0, 1) != 0)
		die("first lock");
	while (now_us() < end) {
		int next = (at + 1) % n;

		if (set_lock("posix", fd, F_WRLCK, 1, next, 1) != 0) {
			if (++errors > 1000)
				die("lock");
			continue;
		}
		if (rw) {
			unsigned char c = 0;

			if (pread(fd, &c, 1, next) != 1)
				die("pread");
			if (locks > n)
				by_increment[(unsigned char)(c - seen[next]) & 7]++;
			c++;
			seen[next] = c;
			if (pwrite(fd, &c, 1, next) != 1)
				die("pwrite");
		}
		if (set_lock("posix", fd, F_UNLCK, 1, at, 1) != 0)
			die("unlock");
		at = next;
		locks++;
	}
	/* The usual one: who starts first or ends last is alone for a while. */
	for (int i = 1; i < 8; i++)
		usual = by_increment[i] > by_increment[usual] ? i : usual;
	printf("{\"ok\":true,\"locks\":%lld,\"locksPerSecond\":%.0f,\"increment\":%d,\"errors\":%d}\n",
		(long long)locks, locks / ((now_us() - start) / 1e6), usual + 1, errors);
	return 0;
}

static int pair(const char *kind, const char *path, int count)
{
	int fd = open_file(path, O_RDWR | O_CREAT);
	int64_t *times = calloc(count, sizeof(*times));
	int64_t start = now_us();

	for (int i = 0; i < count; i++) {
		int64_t from = now_us();

		if (set_lock(kind, fd, F_WRLCK, 1, i, 1) != 0)
			die("lock");
		if (set_lock(kind, fd, F_UNLCK, 1, i, 1) != 0)
			die("unlock");
		times[i] = now_us() - from;
	}
	start = now_us() - start;
	qsort(times, count, sizeof(*times), by_number);
	printf("{\"ok\":true,\"pairsPerSecond\":%.0f,\"p50Us\":%lld,\"p99Us\":%lld}\n",
		count / (start / 1e6), (long long)times[count / 2],
		(long long)times[(int)(count * 0.99)]);
	return 0;
}

/* The idiom of mail and package tools: the name is removed while its lock is held. */
static int lockfile(const char *path, const char *guard_path, double seconds)
{
	struct guard *guard = map_guard(guard_path);
	int64_t end = now_us() + (int64_t)(seconds * 1e6);
	int done = 0, retries = 0;

	while (now_us() < end) {
		struct stat opened, named;
		int fd = open(path, O_RDWR | O_CREAT, 0644);

		if (fd < 0) {
			if (errno != ENOENT && errno != ESTALE)
				die("open");
			retries++;
			continue;
		}
		if (flock(fd, LOCK_EX) != 0)
			die("flock");
		if (fstat(fd, &opened) != 0)
			die("fstat");
		if (stat(path, &named) != 0 || named.st_ino != opened.st_ino) {
			retries++;
			close(fd);
			continue;
		}
		enter(guard, 0);
		usleep(200);
		leave(guard, 0);
		if (unlink(path) != 0)
			die("unlink");
		close(fd);
		done++;
	}
	printf("{\"ok\":true,\"done\":%d,\"retries\":%d,\"overlaps\":%d}\n", done, retries,
		atomic_load(&guard->overlaps));
	return 0;
}

/* Fills its own region in 4 KiB writes, each under a lock of just that range. */
static int region(const char *path, int index, int64_t region_bytes, int count)
{
	int fd = open_file(path, O_RDWR | O_CREAT);
	char block[4096];
	int64_t start = now_us();
	int blocks = region_bytes / sizeof(block);

	for (int i = 0; i < count; i++) {
		int64_t at = index * region_bytes + (int64_t)(i % blocks) * sizeof(block);

		memset(block, 'A' + index, sizeof(block));
		snprintf(block, sizeof(block), "%d %d", index, i);
		if (set_lock("posix", fd, F_WRLCK, 1, at, sizeof(block)) != 0)
			die("lock");
		if (pwrite(fd, block, sizeof(block), at) != sizeof(block))
			die("pwrite");
		if (set_lock("posix", fd, F_UNLCK, 1, at, sizeof(block)) != 0)
			die("unlock");
	}
	printf("{\"ok\":true,\"writesPerSecond\":%.0f}\n", count / ((now_us() - start) / 1e6));
	return 0;
}

static int mbox(const char *path, const char *tag, int count)
{
	for (int i = 0; i < count; i++) {
		/* Opened without O_APPEND: the lock alone keeps deliveries apart. */
		int fd = open_file(path, O_RDWR | O_CREAT);
		char message[512];
		int length;
		off_t end;

		if (set_lock("posix", fd, F_WRLCK, 1, 0, 0) != 0)
			die("lock");
		end = lseek(fd, 0, SEEK_END);
		length = snprintf(message, sizeof(message),
			"From %s Thu Jan  1 00:00:00 1970\nSubject: %s %d\n\nbody of %s %d\n\n",
			tag, tag, i, tag, i);
		if (pwrite(fd, message, length / 2, end) != length / 2)
			die("pwrite");
		if (pwrite(fd, message + length / 2, length - length / 2, end + length / 2) !=
				length - length / 2)
			die("pwrite");
		close(fd);
	}
	printf("{\"ok\":true,\"done\":%d}\n", count);
	return 0;
}

static void on_signal(int number)
{
	(void)number;
}

static void answer(int failed, int64_t from)
{
	if (failed)
		printf("{\"ok\":false,\"code\":\"%s\",\"us\":%lld}\n", errno_name(errno),
			(long long)(now_us() - from));
	else
		printf("{\"ok\":true,\"us\":%lld}\n", (long long)(now_us() - from));
}

static void query(const char *kind, int fd, int type, int64_t start, int64_t length)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length
	};

	if (fcntl(fd, strcmp(kind, "ofd") == 0 ? F_OFD_GETLK : F_GETLK, &lock) != 0) {
		printf("{\"ok\":false,\"code\":\"%s\"}\n", errno_name(errno));
		return;
	}
	printf("{\"ok\":true,\"type\":\"%s\",\"start\":%lld,\"length\":%lld,\"pid\":%d}\n",
		lock.l_type == F_UNLCK ? "unlock" : lock.l_type == F_RDLCK ? "read" : "write",
		(long long)lock.l_start, (long long)lock.l_len, lock.l_pid);
}

static int parse_type(const char *text)
{
	if (strcmp(text, "read") == 0)
		return F_RDLCK;
	if (strcmp(text, "write") == 0)
		return F_WRLCK;
	if (strcmp(text, "unlock") == 0)
		return F_UNLCK;
	return atoi(text);
}

/*
 * Steps: open SLOT PATH | dup SLOT FROM | close SLOT | set KIND SLOT TYPE START LENGTH
 *        wait KIND SLOT TYPE START LENGTH | get KIND SLOT TYPE START LENGTH
 *        write SLOT AT TEXT | read SLOT AT LENGTH | fork SLOT (a child closes it and ends)
 *        keep SECONDS (a child keeps all files open for so long, whatever becomes of its parent)
 * SIGUSR1 interrupts a wait with EINTR, SIGUSR2 has its handler restart it.
 */
static int serve(void)
{
	static char line[8192], text[4096], word[16], kind[16], type[16];
	int files[FILES_MAX];
	struct sigaction action = { .sa_handler = on_signal };

	memset(files, -1, sizeof(files));
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &action, NULL);
	printf("{\"ok\":true,\"pid\":%d}\n", getpid());
	while (fgets(line, sizeof(line), stdin) != NULL) {
		int slot = 0, other = 0;
		long long start = 0, length = 0;
		int64_t from = now_us();

		if (sscanf(line, "open %d %4095[^\n]", &slot, text) == 2) {
			files[slot % FILES_MAX] = open(text, O_RDWR | O_CREAT, 0644);
			answer(files[slot % FILES_MAX] < 0, from);
		} else if (sscanf(line, "dup %d %d", &slot, &other) == 2) {
			files[slot % FILES_MAX] = dup(files[other % FILES_MAX]);
			answer(files[slot % FILES_MAX] < 0, from);
		} else if (sscanf(line, "close %d", &slot) == 1) {
			answer(close(files[slot % FILES_MAX]) != 0, from);
		} else if (sscanf(line, "fork %d", &slot) == 1) {
			pid_t child = fork();

			if (child == 0) {
				close(files[slot % FILES_MAX]);
				_exit(0);
			}
			answer(child < 0, from);
		} else if (sscanf(line, "keep %d", &slot) == 1) {
			pid_t child = fork();

			if (child == 0) {
				close(STDIN_FILENO);
				close(STDOUT_FILENO);
				sleep(slot);
				_exit(0);
			}
			answer(child < 0, from);
		} else if (sscanf(line, "write %d %lld %4095[^\n]", &slot, &start, text) == 3) {
			ssize_t size = strlen(text);

			answer(pwrite(files[slot % FILES_MAX], text, size, start) != size, from);
		} else if (sscanf(line, "read %d %lld %lld", &slot, &start, &length) == 3) {
			ssize_t size = pread(files[slot % FILES_MAX], text,
				length < 4000 ? length : 4000, start);

			if (size < 0) {
				answer(1, from);
			} else {
				text[size] = 0;
				printf("{\"ok\":true,\"text\":\"%s\"}\n", text);
			}
		} else if (sscanf(line, "%15s %15s %d %15s %lld %lld", word, kind, &slot, type, &start,
				&length) == 6) {
			int fd = files[slot % FILES_MAX];

			if (strcmp(word, "get") == 0)
				query(kind, fd, parse_type(type), start, length);
			else
				answer(set_lock(kind, fd, parse_type(type), strcmp(word, "wait") == 0, start,
					length) != 0, from);
		} else {
			printf("{\"ok\":false,\"code\":\"unknown step\"}\n");
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(command, "serve") == 0)
		return serve();
	if (strcmp(command, "count") == 0 && argc == 7)
		return count(argv[2], argv[3], argv[4], atoi(argv[5]), atoi(argv[6]));
	if (strcmp(command, "sum") == 0 && argc == 4)
		return sum(argv[2], atoi(argv[3]));
	if (strcmp(command, "pingpong") == 0 && argc == 7)
		return pingpong(argv[2], atoi(argv[3]), atof(argv[4]), strcmp(argv[5], "rw") == 0,
			atoi(argv[6]));
	if (strcmp(command, "pair") == 0 && argc == 5)
		return pair(argv[2], argv[3], atoi(argv[4]));
	if (strcmp(command, "lockfile") == 0 && argc == 5)
		return lockfile(argv[2], argv[3], atof(argv[4]));
	if (strcmp(command, "region") == 0 && argc == 6)
		return region(argv[2], atoi(argv[3]), atoll(argv[4]), atoi(argv[5]));
	if (strcmp(command, "mbox") == 0 && argc == 5)
		return mbox(argv[2], argv[3], atoi(argv[4]));
	fprintf(stderr, "fcntl-helper: unknown command\n");
	return 2;
}
