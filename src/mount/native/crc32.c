/*
 * CRC-32, bits reflected, polynomial 0x04c11db7. Where the processor multiplies without carries, 64 bytes at a
 * time are folded: what stands in front of others is multiplied by x^n mod P, n being how many bits lie
 * between, and added to them; the last 128 bits are reduced by Barrett's method. With AVX-512 256 bytes at a time are
 * folded first. Else by tables, 8 bytes at a time. (Gopal et al., Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ, Intel 2009.)
 */
#include "crc32.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0xedb88320u
#define TABLES 8

static uint32_t tables[TABLES][256];

/* Runs when the addon is loaded, before any thread may need the tables. */
__attribute__((constructor)) static void make_tables(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) {
      crc = (crc >> 1) ^ (POLYNOMIAL & (0u - (crc & 1)));
    }
    tables[0][byte] = crc;
  }
  for (int table = 1; table < TABLES; table++) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t before = tables[table - 1][byte];
      tables[table][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
}

static uint32_t by_tables(uint32_t crc, const uint8_t *bytes, size_t size) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  for (; size >= 8; bytes += 8, size -= 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    word ^= crc;
    crc = 0;
    for (int at = 0; at < 8; at++) {
      crc ^= tables[7 - at][(word >> (8 * at)) & 0xff];
    }
  }
#endif
  for (; size > 0; bytes++, size--) {
    crc = (crc >> 8) ^ tables[0][(crc ^ *bytes) & 0xff];
  }
  return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define FOLDED_BYTES 64
#define FOLDED_WIDE_BYTES 256

__attribute__((target("pclmul,sse4.1"))) static inline __m128i fold(__m128i front, __m128i by,
                                                                    __m128i behind) {
  __m128i low = _mm_clmulepi64_si128(front, by, 0x00);
  __m128i high = _mm_clmulepi64_si128(front, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), behind);
}

static inline __m128i load(const uint8_t *bytes) {
  return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}

/* `size` is a multiple of 16, 64 at least. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t by_folding(uint32_t crc,
                                                                    const uint8_t *bytes,
                                                                    size_t size) {
  const __m128i by_512 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
  const __m128i by_128 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
  const __m128i by_64 = _mm_set_epi64x(0, 0x163cd6124);
  const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
  const __m128i low_halves = _mm_setr_epi32(-1, 0, -1, 0);
  __m128i a = _mm_xor_si128(load(bytes), _mm_cvtsi32_si128((int)crc));
  __m128i b = load(bytes + 16), c = load(bytes + 32), d = load(bytes + 48), rest;
  for (bytes += 64, size -= 64; size >= 64; bytes += 64, size -= 64) {
    a = fold(a, by_512, load(bytes));
    b = fold(b, by_512, load(bytes + 16));
    c = fold(c, by_512, load(bytes + 32));
    d = fold(d, by_512, load(bytes + 48));
  }
  a = fold(fold(fold(a, by_128, b), by_128, c), by_128, d);
  for (; size >= 16; bytes += 16, size -= 16) {
    a = fold(a, by_128, load(bytes));
  }
  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_128, 0x10));
  rest = _mm_srli_si128(a, 4);
  a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low_halves), by_64, 0x00), rest);
  rest = _mm_clmulepi64_si128(_mm_and_si128(a, low_halves), barrett, 0x10);
  rest = _mm_clmulepi64_si128(_mm_and_si128(rest, low_halves), barrett, 0x00);
  return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, rest), 1);
}

#define WIDE __attribute__((target("avx512f,vpclmulqdq")))

WIDE static inline __m512i load_wide(const uint8_t *bytes) {
  return _mm512_loadu_si512((const void *)bytes);
}

WIDE static inline __m512i fold_wide(__m512i front, __m512i by, __m512i behind) {
  __m512i low = _mm512_clmulepi64_epi128(front, by, 0x00);
  __m512i high = _mm512_clmulepi64_epi128(front, by, 0x11);
  return _mm512_ternarylogic_epi64(low, high, behind, 0x96);
}

/* `size` is a multiple of 256; `folded` has the crc from 0 that `bytes` has from `crc`. */
WIDE static void fold_all(uint32_t crc, const uint8_t *bytes, size_t size,
                          uint8_t folded[FOLDED_WIDE_BYTES]) {
  const __m512i by_2048 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x1322d1430, 0x11542778a));
  const __m512i start = _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc));
  __m512i a = _mm512_xor_si512(load_wide(bytes), start);
  __m512i b = load_wide(bytes + 64), c = load_wide(bytes + 128), d = load_wide(bytes + 192);
  for (const uint8_t *end = bytes + size; (bytes += FOLDED_WIDE_BYTES) < end;) {
    a = fold_wide(a, by_2048, load_wide(bytes));
    b = fold_wide(b, by_2048, load_wide(bytes + 64));
    c = fold_wide(c, by_2048, load_wide(bytes + 128));
    d = fold_wide(d, by_2048, load_wide(bytes + 192));
  }
  _mm512_storeu_si512((void *)folded, a);
  _mm512_storeu_si512((void *)(folded + 64), b);
  _mm512_storeu_si512((void *)(folded + 128), c);
  _mm512_storeu_si512((void *)(folded + 192), d);
}

static bool can_fold_wide(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
}

static bool can_fold(void) {
  return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}
#endif

uint32_t crc32_of(uint32_t start, const uint8_t *bytes, size_t size) {
  uint32_t crc = ~start;
#if defined(__x86_64__)
  if (size >= FOLDED_WIDE_BYTES && can_fold() && can_fold_wide()) {
    uint8_t folded[FOLDED_WIDE_BYTES];
    size_t whole = size & ~(size_t)(FOLDED_WIDE_BYTES - 1);
    fold_all(crc, bytes, whole, folded);
    crc = by_folding(0, folded, FOLDED_WIDE_BYTES);
    bytes += whole;
    size -= whole;
  }
  if (size >= FOLDED_BYTES && can_fold()) {
    size_t folded = size & ~(size_t)15;
    crc = by_folding(crc, bytes, folded);
    bytes += folded;
    size -= folded;
  }
#endif
  return ~by_tables(crc, bytes, size);
}
