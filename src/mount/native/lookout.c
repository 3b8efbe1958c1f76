/* See lookout.h. */
#include "lookout.h"
#include "monotonic-clock.h"

#include <errno.h>
#include <unistd.h>

/* What a look in vain costs; a request that came soon earns 1. */
#define PRICE_MIN 4
#define PRICE_MAX 256
/* So many looks can be saved up for. */
#define CREDIT_LOOKS 4
/* A request that found the loop asleep pays for the wake-up, so its gap is judged more mildly. */
#define ASLEEP_ALLOWANCE 4

static void earn(struct lookout *lookout) {
  lookout->credit += lookout->credit < CREDIT_LOOKS * lookout->price ? 1 : 0;
}

static void found(struct lookout *lookout) {
  lookout->hits += 1;
  lookout->price = PRICE_MIN;
  earn(lookout);
}

static void found_nothing(struct lookout *lookout) {
  lookout->misses += 1;
  lookout->credit -= lookout->price;
  lookout->price *= lookout->price < PRICE_MAX ? 2 : 1;
}

void lookout_init(struct lookout *lookout, int look_us) {
  lookout->look_ns = (uint64_t)look_us * 1000;
  lookout->price = PRICE_MIN;
}

static bool is_nothing(ssize_t got) {
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

ssize_t lookout_read(struct lookout *lookout, int fd, void *data, size_t size) {
  ssize_t got = read(fd, data, size);
  if (lookout->look_ns == 0 || !is_nothing(got) || lookout->credit < lookout->price) {
    return got;
  }
  uint64_t end_ns = now_ns() + lookout->look_ns;
  do {
    got = read(fd, data, size);
  } while (is_nothing(got) && now_ns() < end_ns);
  int err = errno;
  if (got > 0) {
    found(lookout);
  } else {
    found_nothing(lookout);
  }
  errno = err;
  return got;
}

void lookout_before_batch(struct lookout *lookout) {
  if (lookout->look_ns != 0 &&
      now_ns() - lookout->done_ns <= lookout->look_ns * ASLEEP_ALLOWANCE) {
    earn(lookout);
  }
}

void lookout_after_batch(struct lookout *lookout) {
  if (lookout->look_ns != 0) {
    lookout->done_ns = now_ns();
  }
}
