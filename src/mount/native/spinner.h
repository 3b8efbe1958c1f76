/*
 * Spinning: waking a sleeping virtual CPU costs more than serving a request, so after a request the
 * idle handle keeps the loop from sleeping for `spin_ns` (every other event is served meanwhile). It
 * is done only while it pays: the running share of requests that came within the window must stay
 * above an eighth, and it pauses while other processes want the CPU it takes.
 */
#ifndef TANDEMFS_SPINNER_H
#define TANDEMFS_SPINNER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct spinner {
  uv_idle_t idle; /* its `data` is the owner's */
  uint64_t spin_ns;
  bool spinning;
  uint64_t last_ns;  /* when the last request was done with */
  uint64_t pause_ns; /* no spinning before this */
  uint64_t mark_ns;  /* wall and CPU time and switches when spinning was last accounted for */
  uint64_t mark_cpu_ns;
  long mark_switches;
  uint64_t spun_ns; /* sums since the last judgement */
  uint64_t spun_cpu_ns;
  long spun_switches;
  uint32_t doublings;
  uint32_t score;
  double hits; /* requests that came while the loop spun, and spins that ended without one */
  double misses;
  double pressure_pauses;
};

/* `spin_us` 0: it never spins. The owner closes `idle`. */
void spinner_init(struct spinner *spinner, uv_loop_t *loop, int spin_us);
/* A request has come. */
void spinner_before_batch(struct spinner *spinner);
/* The requests that were there are done with; `go_on`: more are to be read. */
void spinner_after_batch(struct spinner *spinner, bool go_on);

#endif
