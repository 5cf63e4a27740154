// What does a step of the model do between its tensors, on a CPU? Five passes, each over rows that do not know each other.
//
// Every row is added up in one fixed order, whatever other rows there are and however many threads: an answer does not
// depend, to the last bit, on what else is in the batch. fp32 throughout. Row r is one token: `position[r]` in the
// sequence whose pages are `table + sequence[r] * pages`.
//
// The cache of one layer: keys [page][kv head][head_dim][PAGE], values [page][kv head][PAGE][head_dim].

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 12;
#elif defined(__AVX2__)
constexpr int LANES = 8, ROWS = 6;
#else
constexpr int LANES = 4, ROWS = 4;
#endif
constexpr int PANEL = 2 * LANES, PAGE = 16, VECTORS = PAGE / LANES;
constexpr long ALONE = 1 << 18;  // multiplications below which one thread is done before a second has begun

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline vec load(const float* p) { return *(const vec*)p; }
static inline void store(float* p, vec v) { *(vec*)p = v; }
static inline vec all(float x) { return x - (vec){}; }

// e^x by Cody-Waite reduction and a polynomial of degree 6 (Cephes expf); relative error below 2e-7.
static inline vec exponential(vec x) {
    x = x < -87.0f ? all(-87.0f) : x;
    x = x > 88.0f ? all(88.0f) : x;
    vec t = x * 1.44269504f + 12582912.0f;  // rounds to the nearest integer in the low bits of the mantissa
    vec n = t - 12582912.0f;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    ivec exponent = ((ivec)t << 23) + (127 << 23);
    return p * (vec)exponent;
}

// P panels of W at once for M rows of x; each output is one chain of k products.
template <int M, int P>
static void tile(const float* x, const float* w, float* out, long k, long out_stride, long columns, bool add) {
    vec sum[M][2 * P];
    for (int m = 0; m < M; m++)
        for (int p = 0; p < 2 * P; p++) sum[m][p] = vec{};
    for (long i = 0; i < k; i++) {
        vec weight[2 * P];
        for (int p = 0; p < P; p++) {
            weight[2 * p] = load(w + p * k * PANEL + i * PANEL);
            weight[2 * p + 1] = load(w + p * k * PANEL + i * PANEL + LANES);
        }
        for (int m = 0; m < M; m++)
            for (int p = 0; p < 2 * P; p++) sum[m][p] += x[m * k + i] * weight[p];
    }
    for (int m = 0; m < M; m++) {
        float* row = out + m * out_stride;
        if (columns >= P * PANEL) {
            for (int p = 0; p < 2 * P; p++) store(row + p * LANES, add ? load(row + p * LANES) + sum[m][p] : sum[m][p]);
        } else {
            float rest[2 * P * LANES];
            memcpy(rest, sum[m], sizeof rest);
            for (long c = 0; c < columns; c++) row[c] = add ? row[c] + rest[c] : rest[c];
        }
    }
}

template <int M>
static void rows_of(int rows, const float* x, const float* w, float* out, long k, long stride, long columns, bool add) {
    if constexpr (M > 0) {
        if (rows == M) tile<M, 1>(x, w, out, k, stride, columns, add);
        else rows_of<M - 1>(rows, x, w, out, k, stride, columns, add);
    }
}

extern "C" {

int panel() { return PANEL; }
int page() { return PAGE; }

// out (rows, n) = x (rows, k) Wᵀ, or += with `add`. W is packed: [panel of PANEL columns][k][PANEL], padded with zeros.
void linear(const float* x, const float* w, float* out, long rows, long k, long n, int add) {
    long panels = (n + PANEL - 1) / PANEL;
    if (rows <= 2) {  // few rows: more columns at once, or each product would wait for the one before
        long groups = (panels + 3) / 4;
#pragma omp parallel for schedule(static) if (rows * k * n > ALONE)
        for (long g = 0; g < groups; g++)
            for (long r = 0; r < rows; r++) {
                const float* weight = w + g * 4 * k * PANEL;
                float* to = out + r * n + g * 4 * PANEL;
                long columns = n - g * 4 * PANEL;
                if (panels - g * 4 >= 4) tile<1, 4>(x + r * k, weight, to, k, n, columns, add);
                else
                    for (long p = 0; p < panels - g * 4; p++)
                        tile<1, 1>(x + r * k, weight + p * k * PANEL, to + p * PANEL, k, n, columns - p * PANEL, add);
            }
        return;
    }
    long blocks = (rows + ROWS - 1) / ROWS;
#pragma omp parallel for collapse(2) schedule(static) if (rows * k * n > ALONE)
    for (long p = 0; p < panels; p++)
        for (long b = 0; b < blocks; b++) {
            long r = b * ROWS;
            rows_of<ROWS>(std::min<long>(ROWS, rows - r), x + r * k, w + p * k * PANEL, out + r * n + p * PANEL, k, n,
                          n - p * PANEL, add);
        }
}

static void normalize(const float* x, const float* weight, float* out, long width, float epsilon, float scale) {
    vec squares[2] = {};
    long i = 0;
    for (; i + 2 * LANES <= width; i += 2 * LANES) {
        squares[0] += load(x + i) * load(x + i);
        squares[1] += load(x + i + LANES) * load(x + i + LANES);
    }
    float sum = 0;
    squares[0] += squares[1];
    for (int lane = 0; lane < LANES; lane++) sum += squares[0][lane];
    for (; i < width; i++) sum += x[i] * x[i];
    float by = scale / std::sqrt(sum / width + epsilon);
    for (i = 0; i < width; i++) out[i] = x[i] * by * weight[i];
}

// RMSNorm of each row.
void rms_norm(const float* x, const float* weight, float* out, long rows, long width, float epsilon) {
#pragma omp parallel for schedule(static) if (8 * rows * width > ALONE)
    for (long r = 0; r < rows; r++) normalize(x + r * width, weight, out + r * width, width, epsilon, 1.0f);
}

// QK-norm and rotary embedding of a row's heads [q heads | k heads | v heads]; q stays, scaled for attention, and k and v
// go to the cache.
void rotate_and_store(float* heads, const float* q_weight, const float* k_weight, const float* cosine, const float* sine,
                      const int32_t* position, const int32_t* sequence, const int32_t* table, long pages, float* keys,
                      float* values, long rows, long q_heads, long kv_heads, long head_dim, float epsilon) {
    long half = head_dim / 2, width = (q_heads + 2 * kv_heads) * head_dim;
    float scale = 1 / std::sqrt((float)head_dim);
#pragma omp parallel for schedule(static) if (8 * rows * width > ALONE)
    for (long r = 0; r < rows; r++) {
        long at = position[r], slot = at % PAGE;
        long page = table[sequence[r] * pages + at / PAGE];
        const float *c = cosine + at * half, *s = sine + at * half;
        for (long h = 0; h < q_heads + kv_heads; h++) {
            bool is_query = h < q_heads;
            float* x = heads + r * width + h * head_dim;
            normalize(x, is_query ? q_weight : k_weight, x, head_dim, epsilon, is_query ? scale : 1.0f);
            for (long i = 0; i < half; i++) {
                float first = x[i], second = x[i + half];
                x[i] = first * c[i] - second * s[i];
                x[i + half] = second * c[i] + first * s[i];
            }
            if (is_query) continue;
            float* key = keys + (page * kv_heads + h - q_heads) * head_dim * PAGE;
            for (long i = 0; i < head_dim; i++) key[i * PAGE + slot] = x[i];
        }
        for (long h = 0; h < kv_heads; h++)
            memcpy(values + ((page * kv_heads + h) * PAGE + slot) * head_dim,
                   heads + r * width + (q_heads + kv_heads + h) * head_dim, head_dim * sizeof(float));
    }
}

// Softmax attention of each row's queries to its sequence's positions 0 … position[r] → out (rows, q_heads, head_dim).
void attend(const float* heads, const float* keys, const float* values, const int32_t* position,
            const int32_t* sequence, const int32_t* table, long pages, float* out, long rows, long q_heads,
            long kv_heads, long head_dim) {
    long group = q_heads / kv_heads, width = (q_heads + 2 * kv_heads) * head_dim;
    long seen = 0;
    for (long r = 0; r < rows; r++) seen += position[r] + 1;
#pragma omp parallel if (2 * seen * q_heads * head_dim > ALONE)
    {
        std::vector<float> room(((long)pages + 4) * PAGE);
        float* share = room.data();
#pragma omp for schedule(dynamic, 4)
        for (long item = 0; item < rows * kv_heads; item++) {
            long r = item / kv_heads, head = item % kv_heads, length = position[r] + 1;
            long used = (length + PAGE - 1) / PAGE;
            const int32_t* mine = table + sequence[r] * pages;
            for (long g = 0; g < group; g++) {
                const float* q = heads + r * width + (head * group + g) * head_dim;
                float* y = out + (r * q_heads + head * group + g) * head_dim;
                for (long first = 0; first < used; first += 4) {
                    const float* k[4];
                    for (int j = 0; j < 4; j++)
                        k[j] = keys + (mine[std::min(first + j, used - 1)] * kv_heads + head) * head_dim * PAGE;
                    vec score[4][VECTORS] = {};
                    for (long i = 0; i < head_dim; i++)
                        for (int j = 0; j < 4; j++)
                            for (int v = 0; v < VECTORS; v++)
                                score[j][v] += q[i] * load(k[j] + i * PAGE + v * LANES);
                    for (int j = 0; j < 4; j++)
                        for (int v = 0; v < VECTORS; v++)
                            store(share + (first + j) * PAGE + v * LANES, score[j][v]);
                }
                for (long t = length; t < used * PAGE; t++) share[t] = -INFINITY;
                vec most = all(-INFINITY), sum = vec{};
                for (long t = 0; t < used * PAGE; t += LANES) {
                    vec s = load(share + t);
                    most = s > most ? s : most;
                }
                float top = most[0], total = 0;
                for (int lane = 1; lane < LANES; lane++) top = std::max(top, most[lane]);
                for (long t = 0; t < used * PAGE; t += LANES) {
                    vec s = load(share + t);
                    vec e = exponential(s - top);
                    e = s == all(-INFINITY) ? vec{} : e;
                    store(share + t, e);
                    sum += e;
                }
                for (int lane = 0; lane < LANES; lane++) total += sum[lane];
                for (long i = 0; i < head_dim; i += 2 * LANES) {
                    vec part[4][2] = {};
                    for (long p = 0; p < used; p++) {
                        const float* v = values + ((long)mine[p] * kv_heads + head) * PAGE * head_dim + i;
                        const float* s = share + p * PAGE;
                        for (int t = 0; t < PAGE; t += 4)
                            for (int j = 0; j < 4; j++) {
                                part[j][0] += s[t + j] * load(v + (t + j) * head_dim);
                                part[j][1] += s[t + j] * load(v + (t + j) * head_dim + LANES);
                            }
                    }
                    for (int half = 0; half < 2; half++)
                        store(y + i + half * LANES,
                              ((part[0][half] + part[1][half]) + (part[2][half] + part[3][half])) / total);
                }
            }
        }
    }
}

// silu(gate) * up of each row [gate | up].
void swiglu(const float* gate_up, float* out, long rows, long width) {
#pragma omp parallel for schedule(static) if (16 * rows * width > ALONE)
    for (long r = 0; r < rows; r++)
        for (long i = 0; i < width; i += LANES) {
            const float *gate = gate_up + r * 2 * width + i, *up = gate + width;
            vec g = load(gate);
            store(out + r * width + i, g / (1.0f + exponential(-g)) * load(up));
        }
}
}
