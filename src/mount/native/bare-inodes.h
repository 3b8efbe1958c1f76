/*
 * Questions about extended attributes of inodes that have none, answered without JavaScript: `ls -l`
 * asks one of each file. The table is JavaScript's (channel/bare-inodes.ts, which says what it
 * means) and is only read here, on the thread that writes it.
 */
#ifndef TANDEMFS_BARE_INODES_H
#define TANDEMFS_BARE_INODES_H

#include "timed-set.h"

/* True when the request was such a question and is answered. */
bool bare_inodes_answer(const struct timed_set *bare, int fd, const void *request, size_t size);

#endif
