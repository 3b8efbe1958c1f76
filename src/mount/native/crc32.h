/* The CRC-32 of zlib and gzip. */
#ifndef TANDEMFS_CRC32_H
#define TANDEMFS_CRC32_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32_of(const uint8_t *bytes, size_t size);

#endif
