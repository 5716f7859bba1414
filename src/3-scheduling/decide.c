#include "3-scheduling/decide.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "3-scheduling/fit.h"
#include "base/mem.h"

struct ratings {			/* Of one kind of request. */
	struct request request;
	uint64_t version;		/* Of the cluster when they were true; 0: never. */
	uint64_t used_at;
	uint32_t leaf_count;		/* A power of two. */
	float *cost;			/* Per leaf. */
	uint32_t *devices;		/* Per leaf. */
	uint32_t *winner;		/* Inner nodes of the tree, 1 is the root. */
};

struct decider {
	const struct cluster *cluster;
	const struct policy *policy;
	struct mix known;		/* Which kinds there are, and how often they came when we learn. */
	struct typical typical;
	uint64_t derived_at;		/* known.total when 'typical' was derived from it. */
	struct ratings **ratings;	/* Per kind of 'known'; null when it was not asked for lately. */
	uint32_t ratings_capacity, ratings_count;
	uint64_t decisions;
};

struct decider *decider_new(const struct cluster *cluster, const struct policy *policy)
{
	struct decider *decider = alloc(sizeof(*decider));

	decider->cluster = cluster;
	decider->policy = policy;
	return decider;
}

static void ratings_free(struct ratings *ratings)
{
	if (!ratings)
		return;
	free(ratings->cost);
	free(ratings->devices);
	free(ratings->winner);
	free(ratings);
}

static void forget_ratings(struct decider *decider)
{
	for (uint32_t i = 0; i < decider->ratings_capacity; i++)
		if (decider->ratings[i])
			decider->ratings[i]->version = 0;
}

void decider_free(struct decider *decider)
{
	if (!decider)
		return;
	for (uint32_t i = 0; i < decider->ratings_capacity; i++)
		ratings_free(decider->ratings[i]);
	free(decider->ratings);
	mix_done(&decider->known);
	free(decider);
}

void decider_set_mix(struct decider *decider, const struct mix *mix)
{
	typical_init(&decider->typical, mix, 0.95, decider->cluster);
	forget_ratings(decider);
}

void decider_learn(struct decider *decider, const struct request *request)
{
	struct err err;

	if (cluster_check_request(decider->cluster, request, &err) < 0)
		return;
	mix_add(&decider->known, request);
	if (!decider->policy->is_using_mix || decider->known.total < decider->derived_at + decider->derived_at / 8 + 1)
		return;
	typical_init(&decider->typical, &decider->known, 0.95, decider->cluster);
	decider->derived_at = decider->known.total;
	forget_ratings(decider);
}

static uint32_t better(const struct ratings *ratings, uint32_t a, uint32_t b)
{
	return ratings->cost[b] < ratings->cost[a] ? b : a;	/* Equal: the left one, which is lower. */
}

static uint32_t winner_below(const struct ratings *ratings, uint32_t i)
{
	return i >= ratings->leaf_count ? i - ratings->leaf_count : ratings->winner[i];
}

static void play(struct ratings *ratings, uint32_t i)
{
	ratings->winner[i] = better(ratings, winner_below(ratings, 2 * i), winner_below(ratings, 2 * i + 1));
}

static void rate(const struct decider *decider, struct ratings *ratings, uint32_t node)
{
	struct policy_choice choice = { 0 };

	ratings->cost[node] = INFINITY;
	if (!fit_node(decider->cluster, &ratings->request, node))
		return;
	decider->policy->rate(decider->cluster, &decider->typical, &ratings->request, node, &choice);
	ratings->cost[node] = (float)choice.cost;
	ratings->devices[node] = choice.devices;
}

static void rate_all(const struct decider *decider, struct ratings *ratings)
{
	uint32_t leaves = 2;

	while (leaves < decider->cluster->node_end)
		leaves *= 2;
	ratings->leaf_count = leaves;
	ratings->cost = alloc_array(ratings->cost, leaves, sizeof(*ratings->cost));
	ratings->devices = alloc_array(ratings->devices, leaves, sizeof(*ratings->devices));
	ratings->winner = alloc_array(ratings->winner, leaves, sizeof(*ratings->winner));
	for (uint32_t i = 0; i < decider->cluster->node_end; i++)
		rate(decider, ratings, i);
	for (uint32_t i = decider->cluster->node_end; i < leaves; i++)
		ratings->cost[i] = INFINITY;
	for (uint32_t i = leaves - 1; i >= 1; i--)
		play(ratings, i);
}

static void rate_again(const struct decider *decider, struct ratings *ratings, uint32_t node)
{
	float before = ratings->cost[node];

	rate(decider, ratings, node);
	if (before == ratings->cost[node])
		return;
	for (uint32_t i = (node + ratings->leaf_count) / 2; i >= 1; i /= 2) {
		uint32_t winner = ratings->winner[i];

		play(ratings, i);
		if (ratings->winner[i] == winner && winner != node)
			return;		/* Won before and after against the node: further up nothing changes. */
	}
}

static void bring_up_to_date(const struct decider *decider, struct ratings *ratings)
{
	const struct cluster *cluster = decider->cluster;

	if (!ratings->version || cluster->version - ratings->version >= CLUSTER_CHANGES || cluster->node_end > ratings->leaf_count) {
		rate_all(decider, ratings);
	} else {
		for (uint64_t v = ratings->version + 1; v <= cluster->version; v++) {
			uint32_t node = *(const uint32_t *)cow_at(&cluster->changes, (uint32_t)(v % CLUSTER_CHANGES));

			if (cluster_shape(cluster, node)->version == v)	/* Else a later change of it follows. */
				rate_again(decider, ratings, node);
		}
	}
	ratings->version = cluster->version;
}

static void drop_oldest(struct decider *decider)
{
	struct ratings **oldest = NULL;

	for (uint32_t i = 0; i < decider->ratings_capacity; i++)
		if (decider->ratings[i] && (!oldest || decider->ratings[i]->used_at < (*oldest)->used_at))
			oldest = &decider->ratings[i];
	ratings_free(*oldest);
	*oldest = NULL;
	decider->ratings_count--;
}

static void grow_ratings(struct decider *decider, uint32_t count)
{
	uint32_t capacity = decider->ratings_capacity ? decider->ratings_capacity : 32;

	while (capacity < count)
		capacity *= 2;
	decider->ratings = alloc_array(decider->ratings, capacity, sizeof(*decider->ratings));
	memset(decider->ratings + decider->ratings_capacity, 0, (capacity - decider->ratings_capacity) * sizeof(*decider->ratings));
	decider->ratings_capacity = capacity;
}

static struct ratings *find_ratings(struct decider *decider, const struct request *request)
{
	uint32_t kind = mix_kind_of(&decider->known, request);

	if (kind >= decider->ratings_capacity)
		grow_ratings(decider, kind + 1);
	if (!decider->ratings[kind]) {
		if (decider->ratings_count == DECIDER_KINDS_MAX)
			drop_oldest(decider);
		decider->ratings[kind] = alloc(sizeof(struct ratings));
		decider->ratings[kind]->request = *request;
		decider->ratings_count++;
	}
	return decider->ratings[kind];
}

static int prepare(struct decider *decider, const struct request *request, struct ratings **ret_ratings, struct err *err)
{
	int r = cluster_check_request(decider->cluster, request, err);

	if (r < 0)
		return r;
	*ret_ratings = find_ratings(decider, request);
	(*ret_ratings)->used_at = ++decider->decisions;
	bring_up_to_date(decider, *ret_ratings);
	return 0;
}

static int answer(const struct decider *decider, const struct ratings *ratings, uint32_t node, struct decision *ret_decision, struct err *err)
{
	if (isinf(ratings->cost[node]))
		return err_set(err, -ENOSPC, "it fits none of %u nodes", decider->cluster->node_count);
	*ret_decision = (struct decision){ .node = node, .devices = ratings->devices[node], .cost = (double)ratings->cost[node] };
	return 0;
}

int decider_choose(struct decider *decider, const struct request *request, struct decision *ret_decision, struct err *err)
{
	struct ratings *ratings = NULL;
	int r = prepare(decider, request, &ratings, err);

	return r < 0 ? r : answer(decider, ratings, ratings->winner[1], ret_decision, err);
}

struct search {
	const struct ratings *ratings;
	const struct places *places;
	const struct constraints *constraints;
	uint32_t best, refused;
};

static bool is_worth_a_look(const struct search *search, uint32_t node)
{
	const float *cost = search->ratings->cost;

	if (search->best == CLUSTER_NONE)
		return !isinf(cost[node]);
	return cost[node] < cost[search->best] || (cost[node] == cost[search->best] && node < search->best);
}

/* The side of the winner first; what is not better than what was found needs no look: as deep as the tree, 20 levels. */
static void search_below(struct search *search, uint32_t i)
{
	uint32_t winner = winner_below(search->ratings, i);

	if (!is_worth_a_look(search, winner))
		return;
	if (i >= search->ratings->leaf_count) {
		if (constraints_allow(search->places, search->constraints, winner))
			search->best = winner;
		else
			search->refused++;
		return;
	}
	uint32_t side = winner_below(search->ratings, 2 * i) != winner;

	search_below(search, 2 * i + side);
	search_below(search, 2 * i + !side);
}

int decider_choose_allowed(struct decider *decider, const struct request *request, const struct places *places,
			   const struct constraints *constraints, struct decision *ret_decision, struct err *err)
{
	struct ratings *ratings = NULL;
	int r = constraints_check(places, constraints, err);

	r = r ? r : prepare(decider, request, &ratings, err);
	if (r < 0)
		return r;
	struct search search = { .ratings = ratings, .places = places, .constraints = constraints, .best = CLUSTER_NONE };

	search_below(&search, 1);
	if (search.best == CLUSTER_NONE)
		return err_set(err, -ENOSPC, "it fits %u of %u nodes, but the constraints allow none of those", search.refused,
			       decider->cluster->node_count);
	return answer(decider, ratings, search.best, ret_decision, err);
}

struct rated { uint32_t node; struct policy_choice choice; };

static int compare_rated(const void *a, const void *b)
{
	const struct rated *x = a, *y = b;

	if (x->choice.cost != y->choice.cost)
		return x->choice.cost < y->choice.cost ? -1 : 1;
	return x->node < y->node ? -1 : 1;
}

static void explain_choice(const struct decider *decider, const struct rated *rated, struct str *text)
{
	str_printf(text, "%-20s cost %.4f", cluster_node_name(decider->cluster, rated->node), rated->choice.cost);
	for (uint32_t i = 0; i < rated->choice.term_count; i++)
		str_printf(text, "%s%s %.4f", i ? ", " : ": ", rated->choice.terms[i].name, rated->choice.terms[i].value);
	str_append_char(text, '\n');
}

void decider_explain(struct decider *decider, const struct request *request, size_t limit, struct str *text)
{
	const struct cluster *cluster = decider->cluster;
	auto_free struct rated *rated = alloc_array(NULL, cluster->node_end + 1, sizeof(*rated));
	size_t fitting = 0, refused = 0;

	for (uint32_t node = 0; node < cluster->node_end; node++) {
		if (!fit_node(cluster, request, node))
			continue;
		rated[fitting] = (struct rated){ .node = node };
		decider->policy->rate(cluster, &decider->typical, request, node, &rated[fitting++].choice);
	}
	qsort(rated, fitting, sizeof(*rated), compare_rated);
	str_printf(text, "fits %zu of %u nodes; policy '%s', lowest cost first:\n", fitting, cluster->node_count, decider->policy->name);
	for (size_t i = 0; i < fitting && i < limit; i++)
		explain_choice(decider, &rated[i], text);
	for (uint32_t node = 0; node < cluster->node_end && refused < limit; node++) {
		if (!cluster_shape(cluster, node)->is_present || fit_node(cluster, request, node))
			continue;
		str_printf(text, "%-20s does not fit: ", cluster_node_name(cluster, node));
		fit_explain(cluster, request, node, text);
		str_append_char(text, '\n');
		refused++;
	}
}
