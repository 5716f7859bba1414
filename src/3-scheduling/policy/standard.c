#include "3-scheduling/policy.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "3-scheduling/fit.h"

static double knob(const char *n, double d) { const char *t = getenv(n); return t ? atof(t) : d; }
static double A, B, C, D, E, Q, LAM, S, G, M, X, P; static int inited;

struct dev { double W[1001]; const struct typical *t; double w0; };
static struct dev dv;

/* expected waste of a hole of r milli given typical shares, exposures LAM */
static void prep(const struct typical *t)
{
	double p[1001] = { 0 };
	for (uint32_t k = 0; k < t->count; k++)
		if (t->kinds[k].request.gpu_count == 1) p[t->kinds[k].request.gpu_milli] += (double)t->kinds[k].weight;
	dv.W[0] = 0;
	for (int r = 1; r <= 1000; r++) {
		double PP = 0, w = 0;
		for (int s = 1; s <= r; s++) if (p[s] > 0) { PP += p[s]; w += p[s] * dv.W[r - s]; }
		double hit = 1 - exp(-LAM * PP);
		dv.W[r] = PP > 0 ? hit * (w / PP) + (1 - hit) * r : r;
	}
	dv.t = t;
	dv.w0 = t->kinds[0].weight;
}

static double ratio_waste(const struct typical *t, double cpu, double mem, double gpu, uint32_t model)	/* perspective */
{
	double bad = 0, all = 0;
	if (gpu <= 0) return 0;
	for (uint32_t k = 0; k < t->count; k++) {
		const struct request *q = &t->kinds[k].request;
		if (!q->gpu_count) continue;
		double g = request_gpu_milli(q) / 1000.0, w = (double)t->kinds[k].weight * g;
		double need = q->need[0] / g, have = cpu / gpu * S;
		all += w;
		double part = need > have ? 1 - have / need : 0;
		double mneed = q->need[1] / g, mhave = mem / gpu;
		if (X && mneed > mhave && 1 - mhave / mneed > part) part = 1 - mhave / mneed;
		if (M > 0 && q->gpu_models && !(q->gpu_models >> model & 1)) part = part > M ? part : M;
		bad += P == 1 ? w * part : w * pow(part, P);
	}
	return all > 0 ? gpu * bad / all : 0;
}

static double frag(const struct typical *t, const int32_t *f, const int16_t *m, uint32_t n, uint32_t model)
{
	int cnt[64], small[64], total = 0; double sum = 0;
	for (uint32_t i = 0; i < n; i++) total += m[i];
	for (uint32_t s = 0; s < t->size_count; s++) { cnt[s] = small[s] = 0;
		for (uint32_t i = 0; i < n; i++) { if (m[i] >= t->sizes[s]) cnt[s]++; else small[s] += m[i]; } }
	for (uint32_t k = 0; k < t->count; k++) {
		const struct request *q = &t->kinds[k].request;
		bool ok = q->gpu_count && cnt[t->kinds[k].size] >= q->gpu_count && q->need[0] <= f[0] && q->need[1] <= f[1] && (!q->gpu_models || (q->gpu_models >> model & 1));
		sum += (double)t->kinds[k].weight * (ok ? small[t->kinds[k].size] : total);
	}
	return sum / 1000;
}

static void rate(const struct cluster *cluster, const struct typical *typical, const struct request *request, uint32_t node,
		 struct policy_choice *ret_choice)
{
	if (!inited) { inited = 1; A = knob("A", 0); B = knob("B", 3); C = knob("C", 2); D = knob("D", 0.2); E = knob("E", 0); Q = knob("Q", 25); LAM = knob("LAM", 50); S = knob("S", 1); G = knob("G", 0); M = knob("M", 0); X = knob("X", 0); P = knob("P", 1); }
	if (dv.t != typical || dv.w0 != (double)typical->kinds[0].weight) prep(typical);
	const struct cluster_shape *sh = cluster_shape(cluster, node);
	int32_t f[2], a[2]; int16_t m[16]; double gfree = 0;
	memcpy(m, cluster_gpus(cluster, node)->free_milli, sizeof(m));
	for (int d = 0; d < 2; d++) { f[d] = cluster_free_amount(cluster, (uint32_t)d, node); a[d] = f[d] - request->need[d]; }
	for (int i = 0; i < 16; i++) gfree += m[i] / 1000.0;
	double before = A ? frag(typical, f, m, sh->gpu_count, sh->gpu_model) : 0;
	uint32_t able = fit_devices(cluster_gpus(cluster, node), sh->gpu_count, request->gpu_milli);
	double best = INFINITY; uint32_t bd = 0; uint32_t seen = 0;
	double g2 = gfree - request_gpu_milli(request) / 1000.0;
	double cpuc = C ? C * (ratio_waste(typical, a[0], a[1], g2, sh->gpu_model) - ratio_waste(typical, f[0], f[1], gfree, sh->gpu_model)) : 0;
	double common = cpuc + D * (sh->bound_count == 0) * (1 + G * f[0] / 1000.0 / 12 / (gfree > 0 ? gfree : 1)) + E * (a[0] / 128000.0 + g2 / 8.0);
	(void)seen;
	if (request_is_share(request)) {
		for (uint32_t l = able; l; l &= l - 1) {
			int i = __builtin_ctz(l); int16_t old = m[i];
			m[i] = (int16_t)(old - request->gpu_milli);
			double c = A ? A * (frag(typical, a, m, sh->gpu_count, sh->gpu_model) - before) : 0;
			c += B * (dv.W[m[i]] - dv.W[old]) / 1000;
			c = floor((c + common) * Q + 1e-6);
			if (c < best) { best = c; bd = 1u << i; }
			m[i] = old;
		}
	} else {
		bd = policy_tightest_devices(cluster, request, node);
		for (uint32_t l = bd; l; l &= l - 1) m[__builtin_ctz(l)] = 0;
		double c = A ? A * (frag(typical, a, m, sh->gpu_count, sh->gpu_model) - before) : 0;
		best = floor((c + common) * Q + 1e-6);
	}
	ret_choice->cost = best; ret_choice->devices = bd;
}

const struct policy policy_default = { .name = "default", .summary = "x", .is_using_mix = true, .rate = rate };
