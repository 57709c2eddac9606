/* kernels/ternary_rows.c - sums of int8 codes with packed ternary weights. The plain loop is the specification; where
 * there is AVX2, bytes are multiplied and added in pairs:
 *
 *   sum c t = sum c (t + 1) - sum c
 *
 * |c (t + 1)| is at most 254 and a pair 508, so 64 pairs fit 16 bits: 64 vectors of products go by before sums are
 * widened. A group of tokens shares the work of unpacking. */
#include "kernels/ternary_variant.h"
#include "kernels/variant.h"

#ifdef __AVX2__
#include <immintrin.h>

/* Bytes, words or sums of a vector. With AVX-512 it holds the 64 bytes of a block; half of them else. */
#ifdef __AVX512BW__
typedef __m512i vector;
#define V(name)       _mm512_##name
#define V_WHOLE(name) _mm512_##name##_si512
#else
typedef __m256i vector;
#define V(name)       _mm256_##name
#define V_WHOLE(name) _mm256_##name##_si256
#endif

enum {
    WIDE = sizeof(vector),
    FIELDS = 4,                /* weights in a byte */
    SPAN = 16 * FIELDS * WIDE, /* weights that 16-bit sums have room for */
    GROUP_SPAN = 2048,         /* of which a group's codes stay in the first-level cache */
    GROUP = 8,                 /* tokens that share unpacked weights */
};

static int32_t sum_lanes(__m256i x)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    return _mm_cvtsi128_si32(sum);
}

static inline vector load(const void *at)
{
    return V_WHOLE(loadu)(at);
}

/* Eight lanes with the same sum. */
static inline __m256i fold(vector x)
{
#ifdef __AVX512BW__
    return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
#else
    return x;
#endif
}

/* The codes' own sum: what t + 1 in place of t adds. */
static int32_t sum_codes(const int8_t *codes, size_t in)
{
    const vector ones = V(set1_epi8)(1), wide = V(set1_epi16)(1);
    vector sum = V_WHOLE(setzero)();
    size_t i = 0;
    for (; i + WIDE <= in; i += WIDE)
        sum = V(add_epi32)(sum, V(madd_epi16)(V(maddubs_epi16)(ones, load(codes + i)), wide));
    int32_t total = sum_lanes(fold(sum));
    for (; i < in; i++)
        total += codes[i];
    return total;
}

/* Adds to sum[t] what two fields of packed bytes give with the codes of token t: `bits` is where the first of them
 * lies, and `codes` what it meets. `tokens` is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void add_fields(vector *sum, const int tokens, vector packed,
                                                             const int bits, const int8_t *codes, size_t in)
{
    const vector mask = V(set1_epi8)(3);
    const vector one = V_WHOLE(and)(bits ? V(srli_epi16)(packed, (unsigned)bits) : packed, mask);
    const vector two = V_WHOLE(and)(V(srli_epi16)(packed, (unsigned)bits + 2), mask);
    BT_UNROLL
    for (int t = 0; t < tokens; t++) {
        const int8_t *at = codes + (size_t)t * in;
        sum[t] = V(add_epi16)(sum[t], V(maddubs_epi16)(one, load(at)));
        sum[t] = V(add_epi16)(sum[t], V(maddubs_epi16)(two, load(at + 64)));
        /* An empty instruction that "changes" the sum and memory: gcc would gather the products of all tokens first,
         * which are more than there are registers, and a third of the speed goes into spilling them. */
        if (tokens > 1)
            __asm__("" : "+v"(sum[t])::"memory");
    }
}

/* The weights of a vector of packed bytes. */
static inline __attribute__((always_inline)) void add_packed(vector *sum, const int tokens, const uint8_t *packed,
                                                             const int8_t *codes, size_t in)
{
    const vector bytes = load(packed);
    add_fields(sum, tokens, bytes, 0, codes, in);
    add_fields(sum, tokens, bytes, 4, codes + 128, in);
}

/* Sums of 16 bits over up to SPAN weights of a row. */
static inline __attribute__((always_inline)) void span_sums(vector *sum, const int tokens, const uint8_t *packed,
                                                            size_t bytes, const int8_t *codes, size_t in)
{
    BT_UNROLL
    for (int t = 0; t < tokens; t++)
        sum[t] = V_WHOLE(setzero)();
    for (size_t b = 0; b < bytes; b += BT_TERNARY_BLOCK_BYTES)
        for (size_t part = 0; part < BT_TERNARY_BLOCK_BYTES; part += WIDE)
            add_packed(sum, tokens, packed + b + part, codes + b * FIELDS + part, in);
    BT_UNROLL
    for (int t = 0; t < tokens; t++)
        sum[t] = V(madd_epi16)(sum[t], V(set1_epi16)(1));
}

static void one_token(float *y, const uint8_t *packed, size_t rows, size_t in, const int8_t *codes)
{
    const size_t bytes = bt_ternary_row_bytes(in);
    const int32_t own = sum_codes(codes, in);
    for (size_t r = 0; r < rows; r++, packed += bytes) {
        vector all = V_WHOLE(setzero)(), sum[1];
        for (size_t begin = 0; begin < bytes; begin += SPAN / FIELDS) {
            const size_t span = BT_MIN(bytes - begin, (size_t)SPAN / FIELDS);
            span_sums(sum, 1, packed + begin, span, codes + begin * FIELDS, in);
            all = V(add_epi32)(all, sum[0]);
        }
        y[r] = (float)(sum_lanes(fold(all)) - own);
    }
}

/* Lane t of the result is the sum over sum[t]. */
static __m256i sum_eight(const vector *sum)
{
    const __m256i a =
        _mm256_hadd_epi32(_mm256_hadd_epi32(fold(sum[0]), fold(sum[1])), _mm256_hadd_epi32(fold(sum[2]), fold(sum[3])));
    const __m256i b =
        _mm256_hadd_epi32(_mm256_hadd_epi32(fold(sum[4]), fold(sum[5])), _mm256_hadd_epi32(fold(sum[6]), fold(sum[7])));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* Span by span, so that the codes of the group stay in the first-level cache from row to row. */
static void token_group(float *y, size_t ldy, const uint8_t *packed, size_t rows, size_t in, const int8_t *codes)
{
    const size_t bytes = bt_ternary_row_bytes(in);
    int32_t total[BT_TERNARY_MOST_ROWS][GROUP];
    for (size_t r = 0; r < rows; r++)
        for (int t = 0; t < GROUP; t++)
            total[r][t] = r ? total[0][t] : -sum_codes(codes + (size_t)t * in, in);
    for (size_t begin = 0; begin < bytes; begin += GROUP_SPAN / FIELDS)
        for (size_t r = 0; r < rows; r++) {
            vector sum[GROUP];
            __m256i *const to = (__m256i *)total[r];
            for (size_t b = 0; b < GROUP_SPAN / FIELDS && bytes > GROUP_SPAN / FIELDS; b += BT_TERNARY_BLOCK_BYTES)
                __builtin_prefetch(packed + (r + 1) * bytes + begin + b); /* spans of a long row lie apart */
            span_sums(sum, GROUP, packed + r * bytes + begin, BT_MIN(bytes - begin, (size_t)GROUP_SPAN / FIELDS),
                      codes + begin * FIELDS, in);
            _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), sum_eight(sum)));
        }
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < GROUP; t++)
            y[t * ldy + r] = (float)total[r][t];
}

void BT_FN(ternary_rows)(float *y, size_t ldy, const uint8_t *packed, size_t rows, size_t in, const int8_t *codes,
                         size_t n)
{
    size_t t = 0;
    for (; t + GROUP <= n; t += GROUP)
        token_group(y + t * ldy, ldy, packed, rows, in, codes + t * in);
    for (; t < n; t++)
        one_token(y + t * ldy, packed, rows, in, codes + t * in);
}

#else

/* `count` weights of one field of a block. */
static int32_t field_sum(const uint8_t *packed, unsigned shift, const int8_t *codes, size_t count)
{
    int32_t sum = 0;
    for (size_t j = 0; j < count; j++)
        sum += codes[j] * ((packed[j] >> shift & 3) - 1);
    return sum;
}

static int32_t dot(const uint8_t *packed, const int8_t *codes, size_t in)
{
    int32_t sum = 0;
    for (size_t i = 0; i < in; i += BT_TERNARY_BLOCK_BYTES) {
        const unsigned shift = 2 * (i % BT_TERNARY_BLOCK / BT_TERNARY_BLOCK_BYTES);
        const size_t count = BT_MIN((size_t)BT_TERNARY_BLOCK_BYTES, in - i);
        sum += field_sum(packed + i / BT_TERNARY_BLOCK * BT_TERNARY_BLOCK_BYTES, shift, codes + i, count);
    }
    return sum;
}

void BT_FN(ternary_rows)(float *y, size_t ldy, const uint8_t *packed, size_t rows, size_t in, const int8_t *codes,
                         size_t n)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < n; t++)
            y[t * ldy + r] = (float)dot(packed + r * bt_ternary_row_bytes(in), codes + t * in, in);
}

#endif
