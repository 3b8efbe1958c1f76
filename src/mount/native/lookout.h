/*
 * Looking out for the next request: who has just been answered mostly asks again within some
 * microseconds, sooner than this thread can go to sleep and be woken, above all on another processor
 * of a virtual machine. So the reader tries for that long to read once more before the loop gets its turn.
 *
 * It is bounded for each request and takes no more of a processor than going to sleep does: it is
 * done only while most looks find something. What a look may cost is earned by requests that come
 * soon, looked for or not; one in vain costs what several have earned, and twice as much each time
 * until one finds something. So it ends by itself where it is no use: when requests are rare, or when
 * the process that asks shares this processor and waits for it.
 */
#ifndef TANDEMFS_LOOKOUT_H
#define TANDEMFS_LOOKOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct lookout {
  uint64_t look_ns; /* 0: never */
  uint64_t done_ns; /* when the last request was done with */
  int credit;
  int price; /* of the next look in vain */
  double hits; /* looks that found a request, and that did not */
  double misses;
};

/* `look_us` 0: it never looks. */
void lookout_init(struct lookout *lookout, int look_us);
/* As read(2) of a non-blocking descriptor; where there is nothing it may try again for a while. */
ssize_t lookout_read(struct lookout *lookout, int fd, void *data, size_t size);
/* A request has come that was not looked for. */
void lookout_before_batch(struct lookout *lookout);
/* The requests that were there are done with. */
void lookout_after_batch(struct lookout *lookout);

#endif
