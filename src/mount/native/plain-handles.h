/*
 * FLUSH of handles for which it has nothing to do, answered without JavaScript: each close(2) sends one.
 * Which those are: fs/open-files.ts.
 */
#ifndef TANDEMFS_PLAIN_HANDLES_H
#define TANDEMFS_PLAIN_HANDLES_H

#include "timed-set.h"

/* True when the request was such a FLUSH and is answered. */
bool plain_handles_answer(const struct timed_set *handles, int fd, const void *request,
                          size_t size);

#endif
