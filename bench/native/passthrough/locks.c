/*
 * fcntl locks, as open file description locks of the handle's own descriptor. A wait must not stop
 * the one thread: it is kept and tried again whenever a lock is given up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "passthrough.h"

#define WAITERS_MAX 256

struct waiter {
	uint64_t unique; /* 0: unused */
	int fd;
	struct flock lock;
};

static struct waiter waiters[WAITERS_MAX];

static struct flock lock_of(const struct fuse_file_lock *in)
{
	struct flock lock = { .l_type = (short)in->type, .l_whence = SEEK_SET };

	lock.l_start = (off_t)in->start;
	/* Length 0: to the end, which the kernel writes as the greatest offset. */
	lock.l_len = in->end >= (uint64_t)LLONG_MAX ? 0 : (off_t)(in->end - in->start + 1);
	return lock;
}

static void try_waiters(void)
{
	for (int i = 0; i < WAITERS_MAX; i++) {
		struct waiter *waiter = &waiters[i];
		uint64_t unique = waiter->unique;

		if (unique == 0)
			continue;
		if (fcntl(waiter->fd, F_OFD_SETLK, &waiter->lock) < 0) {
			if (errno == EAGAIN || errno == EACCES)
				continue;
			waiter->unique = 0;
			reply_error(unique, errno);
			continue;
		}
		waiter->unique = 0;
		reply_error(unique, 0);
	}
}

static void serve_setlk(const struct request *request, int wait)
{
	const struct fuse_lk_in *in = request->body;
	struct flock lock = lock_of(&in->lk);
	uint64_t unique = request->head->unique;

	if (fcntl((int)in->fh, F_OFD_SETLK, &lock) == 0) {
		reply_error(unique, 0);
		if (lock.l_type == F_UNLCK)
			try_waiters();
		return;
	}
	if (!wait || (errno != EAGAIN && errno != EACCES)) {
		reply_error(unique, errno);
		return;
	}
	for (int i = 0; i < WAITERS_MAX; i++) {
		if (waiters[i].unique == 0) {
			waiters[i] = (struct waiter){ unique, (int)in->fh, lock };
			return;
		}
	}
	reply_error(unique, ENOLCK);
}

static void serve_getlk(const struct request *request)
{
	const struct fuse_lk_in *in = request->body;
	struct flock lock = lock_of(&in->lk);
	struct fuse_lk_out out = { 0 };

	if (fcntl((int)in->fh, F_OFD_GETLK, &lock) < 0) {
		reply_error(request->head->unique, errno);
		return;
	}
	out.lk.type = (uint32_t)lock.l_type;
	out.lk.start = (uint64_t)lock.l_start;
	out.lk.end = lock.l_len == 0 ? (uint64_t)LLONG_MAX
				     : (uint64_t)(lock.l_start + lock.l_len - 1);
	reply_data(request->head->unique, &out, sizeof(out));
}

void locks_close(int fd)
{
	struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &all) == 0)
		try_waiters();
}

/* A signal ends a wait for a lock; the kernel expects no answer to the interrupt itself. */
static void serve_interrupt(const struct request *request)
{
	const struct fuse_interrupt_in *in = request->body;

	for (int i = 0; i < WAITERS_MAX; i++) {
		if (waiters[i].unique == in->unique && in->unique != 0) {
			waiters[i].unique = 0;
			reply_error(in->unique, EINTR);
		}
	}
}

int serve_locks(const struct request *request)
{
	switch (request->head->opcode) {
	case FUSE_GETLK:
		serve_getlk(request);
		return 1;
	case FUSE_SETLK:
		serve_setlk(request, 0);
		return 1;
	case FUSE_SETLKW:
		serve_setlk(request, 1);
		return 1;
	case FUSE_INTERRUPT:
		serve_interrupt(request);
		return 1;
	default:
		return 0;
	}
}
