/* The descriptor matcher: a ROWS x LANES array of processing elements with fused top-k.
 *
 * One body, three wrappers. Each processing element (r, l) keeps the running sum of query row r
 * against gallery lane l; the gallery streams past in panels of LANES rows, ROWS queries stay.
 * When a panel is through, its scores pass a threshold in a register and the few that beat it
 * enter a sorted list of k. The distance matrix is never written.
 *
 *   match           NDRange: one work-item = one share of the gallery (GPU and CPU runtimes)
 *   match_single    single work-item, for FPGA compilers        (-DFPGA_WRAPPER)
 *   feed/array/drain  the same as three kernels on channels     (-DFPGA_WRAPPER -DUSE_CHANNELS)
 *
 * Layouts: queries [tiles][steps][ROWS] words, gallery [panels][steps][VECS] vectors of 16 lanes,
 * bias [panels][VECS] vectors, lists [splits][tiles][ROWS][k]. score = bias - 2 * sum (L2) or
 * bias + sum (Hamming); whatever depends on the query alone is added by the host.
 *
 * OpenCL C 1.2. fma() is never called: PoCL lowers it to a slow path on some CPUs; a * b + c with
 * -cl-mad-enable becomes the machine's own instruction.
 */
#ifndef ROWS
#define ROWS 8
#endif
#ifndef VECS
#define VECS 2
#endif
#define LANES (16 * VECS)
#define MAX_K 16

/* Clang's own, where it is Clang: LLVM splits 512-bit vectors on CPUs that it takes for shy of
 * them, half the speed, unless a function declares the width; and part bodies must not be calls. */
#ifdef __has_attribute
#if __has_attribute(min_vector_width)
#define WIDE __attribute__((min_vector_width(512)))
#endif
#if __has_attribute(always_inline)
#define PART inline __attribute__((always_inline)) WIDE
#endif
#endif
#ifndef WIDE
#define WIDE
#endif
#ifndef PART
#define PART inline
#endif
/* The hint says that the code is vectors already: without it Intel's compiler tries to run
 * work-items as lanes and takes a minute. */
#define KERNEL __kernel WIDE __attribute__((reqd_work_group_size(1, 1, 1), vec_type_hint(float16)))
#define TASK KERNEL __attribute__((max_global_work_dim(0)))

/* PoCL's convert_ functions are 16 calls each. Intel's compiler (2023) dies of convert_int16 and
 * miscompiles convert_int16_rte; four at a time it gets right. */
#ifdef POCL_DEVICE_ADDRESS_BITS
#define WIDEN(x) __builtin_convertvector(x, float16)
#define WHOLE(x) __builtin_convertvector(x, int16)
#else
#define WIDEN(x) convert_float16(x)
PART int16 WHOLE(float16 x) {
  return (int16)(convert_int4(x.lo.lo), convert_int4(x.lo.hi), convert_int4(x.hi.lo),
                 convert_int4(x.hi.hi));
}
#endif

#if defined(METRIC_L2_F32)
typedef float qword_t;      /* one element of a query row */
typedef float16 gword_t;    /* the same element of 16 gallery rows */
typedef float16 acc_t;
typedef float16 sum_t;
typedef float score_t;
#define LOAD(g) (g)
#define STEP(a, q, g) ((a) + (float16)(q) * (g))
#define SCORE(b, s) ((b) - 2.0f * (s))
#define WORST FLT_MAX       /* not INFINITY: the build is -cl-fast-relaxed-math */

#elif defined(METRIC_L2_I8_WIDEN)
/* Products of int8 are exact in float32, and so are sums of up to 1024 of them (< 2^24). */
typedef float qword_t;
typedef char16 gword_t;
typedef float16 acc_t;
typedef int16 sum_t;
typedef int score_t;
#define FLUSH_STEPS 1024
#define LOAD(g) WIDEN(g)
#define STEP(a, q, g) ((a) + (float16)(q) * (g))
#define SCORE(b, s) ((b) - 2 * (s))
#define WORST INT_MAX

#elif defined(METRIC_L2_I8_DOT)
/* Four int8 products a step and lane; the gallery is stored + 128, for the unsigned operand. */
#ifndef __AVX512VNNI__
#error "this variant needs the VNNI dot product"
#endif
typedef int qword_t;
typedef int16 gword_t;
typedef int16 acc_t;
typedef int16 sum_t;
typedef int score_t;
#define LOAD(g) (g)
#define STEP(a, q, g) __builtin_ia32_vpdpbusd512((a), (g), (int16)(q))
#define SCORE(b, s) ((b) - 2 * (s))
#define WORST INT_MAX

#elif defined(METRIC_HAMMING)
typedef uint qword_t;
typedef uint16 gword_t;
typedef int16 acc_t;
typedef int16 sum_t;
typedef int score_t;
#define LOAD(g) (g)
#define STEP(a, q, g) ((a) + as_int16(bits_set((uint16)(q) ^ (g))))
#define SCORE(b, s) ((b) + (s))
#define WORST (1 << 30)     /* the padding's bias: a sum on top must not overflow */

/* LLVM knows this idiom and emits its vector popcount; PoCL's popcount(uint16) is 16 calls. */
PART uint16 bits_set(uint16 x) {
  x = x - ((x >> 1) & 0x55555555u);
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0fu;
  return (x * 0x01010101u) >> 24;
}
#else
#error "define one of METRIC_L2_F32, METRIC_L2_I8_WIDEN, METRIC_L2_I8_DOT, METRIC_HAMMING"
#endif

#ifdef METRIC_L2_F32
typedef float16 scorev_t;
#define AS_SUM(x) as_float16(x)
#else
typedef int16 scorev_t;
#define AS_SUM(x) (x)
#endif

/* The k best of each of ROWS queries, ascending; cutoff[r] is the score to beat, in every lane. */
typedef struct {
  score_t score[ROWS][MAX_K];
  int index[ROWS][MAX_K];
  scorev_t cutoff[ROWS];
} best_t;

PART void pe_clear(acc_t acc[ROWS][VECS]) {
#pragma unroll
  for (int r = 0; r < ROWS; ++r)
#pragma unroll
    for (int v = 0; v < VECS; ++v) acc[r][v] = (acc_t)(0);
}

/* One beat of the array: every element takes its query word and its gallery word. */
PART void pe_step(acc_t acc[ROWS][VECS], __global const qword_t *query, const gword_t gallery[VECS]) {
#pragma unroll
  for (int r = 0; r < ROWS; ++r)
#pragma unroll
    for (int v = 0; v < VECS; ++v) acc[r][v] = STEP(acc[r][v], query[r], LOAD(gallery[v]));
}

PART int any_lane(int16 hit) {
  const int8 a = hit.lo | hit.hi;
  const int4 b = a.lo | a.hi;
  return b.x | b.y | b.z | b.w;
}

PART void insert(best_t *best, int r, score_t score, int index, int k) {
  int place = k - 1;
  while (place > 0 && score < best->score[r][place - 1]) {
    best->score[r][place] = best->score[r][place - 1];
    best->index[r][place] = best->index[r][place - 1];
    --place;
  }
  best->score[r][place] = score;
  best->index[r][place] = index;
}

/* Lanes are offered in ascending order and must beat the cutoff: a tie keeps the lower index. */
PART void keep_row(best_t *best, int r, const scorev_t score[VECS], int first, int k) {
  int16 hit = (int16)(0);
#pragma unroll
  for (int v = 0; v < VECS; ++v) hit |= score[v] < best->cutoff[r];
  if (!any_lane(hit)) return;
  score_t lane[LANES];
#pragma unroll
  for (int v = 0; v < VECS; ++v) vstore16(score[v], v, lane);
  for (int l = 0; l < LANES; ++l) {
    if (lane[l] < best->score[r][k - 1]) insert(best, r, lane[l], first + l, k);
  }
  best->cutoff[r] = (scorev_t)(best->score[r][k - 1]);
}

PART void keep_panel(best_t *best, const sum_t sum[ROWS][VECS], __global const scorev_t *bias,
                       int first, int k) {
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    scorev_t score[VECS];
#pragma unroll
    for (int v = 0; v < VECS; ++v) score[v] = SCORE(bias[v], sum[r][v]);
    keep_row(best, r, score, first, k);
  }
}

PART void best_clear(best_t *best, int k) {
  for (int r = 0; r < ROWS; ++r) {
    best->cutoff[r] = (scorev_t)(WORST);
    for (int j = 0; j < k; ++j) {
      best->score[r][j] = WORST;
      best->index[r][j] = -1;
    }
  }
}

PART void best_load(best_t *best, __global const score_t *scores, __global const int *indices, int k) {
  for (int r = 0; r < ROWS; ++r) {
    for (int j = 0; j < k; ++j) {
      best->score[r][j] = scores[r * k + j];
      best->index[r][j] = indices[r * k + j];
    }
    best->cutoff[r] = (scorev_t)(best->score[r][k - 1]);
  }
}

PART void best_store(const best_t *best, __global score_t *scores, __global int *indices, int k) {
  for (int r = 0; r < ROWS; ++r)
    for (int j = 0; j < k; ++j) {
      scores[r * k + j] = best->score[r][j];
      indices[r * k + j] = best->index[r][j];
    }
}

/* Where the next gallery word comes from: memory, or the channel that `feed` fills. Sums cross as
 * the ints of their bits: the emulator finds calls ambiguous when two channels are of one type. */
#ifdef USE_CHANNELS
#pragma OPENCL EXTENSION cl_intel_channels : enable
channel gword_t gallery_words[VECS] __attribute__((depth(64)));
channel int16 panel_sums[VECS] __attribute__((depth(64)));
#define NEXT_WORD(gallery, v) read_channel_intel(gallery_words[v])
#else
#define NEXT_WORD(gallery, v) (gallery)[v]
#endif

PART void pe_stream(acc_t acc[ROWS][VECS], __global const qword_t *query,
                      __global const gword_t *gallery, int steps) {
  pe_clear(acc);
  for (int s = 0; s < steps; ++s) {
    gword_t word[VECS];
#pragma unroll
    for (int v = 0; v < VECS; ++v) word[v] = NEXT_WORD(gallery, v);
    pe_step(acc, query, word);
    query += ROWS;
    gallery += VECS;
  }
}

/* Stream one panel past one tile of queries. */
#ifdef FLUSH_STEPS
PART void pe_panel(sum_t sum[ROWS][VECS], __global const qword_t *query,
                     __global const gword_t *gallery, int steps) {
#pragma unroll
  for (int i = 0; i < ROWS * VECS; ++i) sum[i / VECS][i % VECS] = (sum_t)(0);
  for (int done = 0; done < steps; done += FLUSH_STEPS) {
    acc_t acc[ROWS][VECS];
    pe_stream(acc, query + (long)done * ROWS, gallery + (long)done * VECS,
              min(FLUSH_STEPS, steps - done));
#pragma unroll
    for (int i = 0; i < ROWS * VECS; ++i)
      sum[i / VECS][i % VECS] += WHOLE(acc[i / VECS][i % VECS]);
  }
}
#else
#define pe_panel pe_stream   /* acc_t and sum_t are one type */
#endif

/* One share of the gallery against tiles [tile_begin, tile_end). Chunks of panels that fit the
 * second-level cache go past all tiles before the next chunk is fetched. */
PART void match_share(__global const qword_t *queries, __global const gword_t *gallery,
                        __global const scorev_t *bias, __global score_t *scores,
                        __global int *indices, int tile_begin, int tile_end, int begin, int end,
                        int steps, int k, int chunk) {
  for (int from = begin; from < end; from += chunk) {
    const int to = min(from + chunk, end);
    for (int t = tile_begin; t < tile_end; ++t) {
      best_t best;
      const long list = (long)t * ROWS * k;
      if (from == begin) best_clear(&best, k);
      else best_load(&best, scores + list, indices + list, k);
      for (int p = from; p < to; ++p) {
        sum_t sum[ROWS][VECS];
        pe_panel(sum, queries + (long)t * steps * ROWS, gallery + (long)p * steps * VECS, steps);
        keep_panel(&best, sum, bias + (long)p * VECS, p * LANES, k);
      }
      best_store(&best, scores + list, indices + list, k);
    }
  }
}

#ifndef FPGA_WRAPPER

/* Global size (splits, groups): the gallery is shared by dimension 0, the tiles by dimension 1. */
KERNEL
void match(__global const qword_t *restrict queries, __global const gword_t *restrict gallery,
           __global const scorev_t *restrict bias, __global score_t *restrict scores,
           __global int *restrict indices, int tiles, int panels, int steps, int k, int chunk) {
  const long split = get_global_id(0), splits = get_global_size(0);
  const long group = get_global_id(1), groups = get_global_size(1);
  const long lists = split * tiles * ROWS * k;
  match_share(queries, gallery, bias, scores + lists, indices + lists,
              (int)(tiles * group / groups), (int)(tiles * (group + 1) / groups),
              (int)(panels * split / splits), (int)(panels * (split + 1) / splits), steps, k, chunk);
}

/* Joins the lists of all splits into that of split 0; one work-item a tile. */
KERNEL
void merge(__global score_t *restrict scores, __global int *restrict indices, int tiles, int splits,
           int k) {
  const long tile = get_global_id(0) * ROWS * k;
  best_t best;
  best_load(&best, scores + tile, indices + tile, k);
  for (int split = 1; split < splits; ++split)
    for (int r = 0; r < ROWS; ++r)
      for (int j = 0; j < k; ++j) {
        const long at = tile + (long)split * tiles * ROWS * k + r * k + j;
        if (scores[at] >= best.score[r][k - 1]) break;
        insert(&best, r, scores[at], indices[at], k);
      }
  best_store(&best, scores + tile, indices + tile, k);
}

#elif !defined(USE_CHANNELS)

TASK
void match_single(__global const qword_t *restrict queries, __global const gword_t *restrict gallery,
                  __global const scorev_t *restrict bias, __global score_t *restrict scores,
                  __global int *restrict indices, int tiles, int panels, int steps, int k,
                  int chunk) {
  match_share(queries, gallery, bias, scores, indices, 0, tiles, 0, panels, steps, k, chunk);
}

#else

/* Producer: the whole gallery, once for each tile of queries. */
TASK
void feed(__global const gword_t *restrict gallery, int tiles, int panels, int steps) {
  for (int t = 0; t < tiles; ++t)
    for (long s = 0; s < (long)panels * steps; ++s)
#pragma unroll
      for (int v = 0; v < VECS; ++v) write_channel_intel(gallery_words[v], gallery[s * VECS + v]);
}

/* The array: takes words, gives sums, ROWS by ROWS. */
TASK
void array(__global const qword_t *restrict queries, int tiles, int panels, int steps) {
  for (int t = 0; t < tiles; ++t)
    for (int p = 0; p < panels; ++p) {
      sum_t sum[ROWS][VECS];
      pe_panel(sum, queries + (long)t * steps * ROWS, 0, steps);
#pragma unroll
      for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int v = 0; v < VECS; ++v) write_channel_intel(panel_sums[v], as_int16(sum[r][v]));
    }
}

/* Writer: keeps the lists and writes them when a tile is through. */
TASK
void drain(__global const scorev_t *restrict bias, __global score_t *restrict scores,
           __global int *restrict indices, int tiles, int panels, int k) {
  for (int t = 0; t < tiles; ++t) {
    best_t best;
    best_clear(&best, k);
    for (int p = 0; p < panels; ++p) {
      sum_t sum[ROWS][VECS];
#pragma unroll
      for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int v = 0; v < VECS; ++v) sum[r][v] = AS_SUM(read_channel_intel(panel_sums[v]));
      keep_panel(&best, sum, bias + (long)p * VECS, p * LANES, k);
    }
    best_store(&best, scores + (long)t * ROWS * k, indices + (long)t * ROWS * k, k);
  }
}
#endif
