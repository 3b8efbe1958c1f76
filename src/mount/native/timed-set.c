/* See timed-set.h. */
#include "timed-set.h"

#include "request.h"

bool timed_set_init(struct timed_set *set, const void *data, size_t size) {
  size_t count = size / sizeof(double);
  if (size % sizeof(double) != 0 || count < 2 || ((count - 1) & (count - 2)) != 0) {
    return false;
  }
  set->until_ms = data;
  set->members = (const double *)data + 1;
  set->mask = count - 2;
  return true;
}

bool timed_set_has(const struct timed_set *set, uint64_t number) {
  return number != 0 && set->members[number & set->mask] == (double)number &&
         boottime_ms() < *set->until_ms;
}
