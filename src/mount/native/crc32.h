/* The CRC-32 of zlib and gzip. */
#ifndef TANDEMFS_CRC32_H
#define TANDEMFS_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* `start`: of the bytes before these, 0 for none. */
uint32_t crc32_of(uint32_t start, const uint8_t *bytes, size_t size);

#endif
