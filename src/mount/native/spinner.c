/* See spinner.h. */
#include "spinner.h"
#include "monotonic-clock.h"

#include <stddef.h>
#include <sys/resource.h>

#define SCORE_ONE 1024
#define SCORE_WEIGHT 16
#define SCORE_MIN (SCORE_ONE / 8)
/* A request that found the loop asleep pays for the wake-up, so its gap is judged more mildly. */
#define ASLEEP_ALLOWANCE 4
/* Spinning is judged by this much of it; a spinner that gets less of a CPU than this is in the way. */
#define SPUN_SAMPLE_NS 5000000
#define SHARE_MIN_PERCENT 85
#define PAUSE_NS 50000000
#define PAUSE_DOUBLINGS 6

void spinner_init(struct spinner *spinner, uv_loop_t *loop, int spin_us) {
  spinner->spin_ns = (uint64_t)spin_us * 1000;
  spinner->score = SCORE_ONE / 2;
  uv_idle_init(loop, &spinner->idle);
  uv_unref((uv_handle_t *)&spinner->idle);
}

static void judge(struct spinner *spinner, bool within) {
  uint32_t loss = spinner->score / SCORE_WEIGHT;
  spinner->score = spinner->score - loss + (within ? SCORE_ONE / SCORE_WEIGHT : 0);
}

/* Adds the time since the last mark to what was spun, or only sets the mark. */
static bool account_spinning(struct spinner *spinner, uint64_t now, bool add) {
  struct rusage usage;
  if (getrusage(RUSAGE_THREAD, &usage) != 0) {
    return false;
  }
  uint64_t seconds = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
  uint64_t micros = (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
  uint64_t cpu_ns = seconds * 1000000000u + micros * 1000u;
  if (add) {
    spinner->spun_ns += now - spinner->mark_ns;
    spinner->spun_cpu_ns += cpu_ns - spinner->mark_cpu_ns;
    spinner->spun_switches += usage.ru_nivcsw - spinner->mark_switches;
  }
  spinner->mark_ns = now;
  spinner->mark_cpu_ns = cpu_ns;
  spinner->mark_switches = usage.ru_nivcsw;
  return true;
}

/*
 * A spinning thread never sleeps, so what it did not get of the CPU others took. Then spinning
 * pauses, twice as long each time, until a judgement finds the CPU free again.
 */
static void judge_pressure(struct spinner *spinner, uint64_t now) {
  if (spinner->spun_ns < SPUN_SAMPLE_NS) {
    return;
  }
  bool preempted = spinner->spun_switches > 0;
  if (preempted && spinner->spun_cpu_ns * 100 < spinner->spun_ns * SHARE_MIN_PERCENT) {
    spinner->pause_ns = now + ((uint64_t)PAUSE_NS << spinner->doublings);
    spinner->doublings += spinner->doublings < PAUSE_DOUBLINGS ? 1 : 0;
    spinner->pressure_pauses += 1;
  } else {
    spinner->doublings = 0;
  }
  spinner->spun_ns = 0;
  spinner->spun_cpu_ns = 0;
  spinner->spun_switches = 0;
}

static void stop_spinning(struct spinner *spinner, uint64_t now) {
  uv_idle_stop(&spinner->idle);
  spinner->spinning = false;
  if (account_spinning(spinner, now, true)) {
    judge_pressure(spinner, now);
  }
}

static void on_idle(uv_idle_t *handle) {
  struct spinner *spinner =
      (struct spinner *)((char *)handle - offsetof(struct spinner, idle));
  uint64_t now = now_ns();
  if (now - spinner->last_ns > spinner->spin_ns) {
    stop_spinning(spinner, now);
    spinner->misses += 1;
    judge(spinner, false);
  }
}

void spinner_before_batch(struct spinner *spinner) {
  if (spinner->spin_ns == 0) {
    return;
  }
  if (spinner->spinning) {
    spinner->hits += 1;
    judge(spinner, true);
  } else if (now_ns() - spinner->last_ns <= spinner->spin_ns * ASLEEP_ALLOWANCE) {
    judge(spinner, true);
  }
}

void spinner_after_batch(struct spinner *spinner, bool go_on) {
  if (spinner->spin_ns == 0) {
    return;
  }
  uint64_t now = now_ns();
  spinner->last_ns = now;
  if (spinner->spinning && now - spinner->mark_ns > SPUN_SAMPLE_NS &&
      account_spinning(spinner, now, true)) {
    judge_pressure(spinner, now);
  }
  bool wanted = go_on && spinner->score >= SCORE_MIN && now >= spinner->pause_ns;
  if (wanted && !spinner->spinning && account_spinning(spinner, now, false)) {
    uv_idle_start(&spinner->idle, on_idle);
    spinner->spinning = true;
  } else if (!wanted && spinner->spinning) {
    stop_spinning(spinner, now);
  }
}
