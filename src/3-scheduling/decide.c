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

/* Whoever asks for ever different amounts makes us remember no more. */
static void forget_rare_kinds(struct decider *decider)
{
	mix_keep(&decider->known, DECIDER_KINDS_REMEMBERED / 2);
	if (decider->derived_at > decider->known.total)
		decider->derived_at = decider->known.total;
	for (uint32_t i = 0; i < decider->ratings_capacity; i++) {
		ratings_free(decider->ratings[i]);
		decider->ratings[i] = NULL;
	}
	decider->ratings_count = 0;
}

void decider_learn(struct decider *decider, const struct request *request)
{
	struct err err;

	if (cluster_check_request(decider->cluster, request, &err) < 0)
		return;
	if (decider->known.kind_count >= DECIDER_KINDS_REMEMBERED)
		forget_rare_kinds(decider);
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
	if (decider->known.kind_count >= DECIDER_KINDS_REMEMBERED)
		forget_rare_kinds(decider);
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
	const struct ledger *ledger;
	const struct demand *demand;
	uint32_t best, best_unmet, refused;
};

static bool is_cheaper(const struct search *search, uint32_t node)
{
	const float *cost = search->ratings->cost;

	return cost[node] < cost[search->best] || (cost[node] == cost[search->best] && node < search->best);
}

/* Below a subtree's winner nothing is cheaper; but what is dearer may leave fewer preferences unmet. */
static bool is_worth_a_look(const struct search *search, uint32_t winner)
{
	if (isinf(search->ratings->cost[winner]))
		return false;
	return search->best == CLUSTER_NONE || search->best_unmet || is_cheaper(search, winner);
}

static void look_at(struct search *search, uint32_t node)
{
	uint32_t unmet = constraints_unmet(&search->ledger->places, &search->demand->constraints, node);
	bool is_better = search->best == CLUSTER_NONE || unmet < search->best_unmet ||
			 (unmet == search->best_unmet && is_cheaper(search, node));

	if (!is_better)
		return;
	if (!ledger_allows(search->ledger, search->demand, node)) {
		search->refused++;
		return;
	}
	search->best = node;
	search->best_unmet = unmet;
}

/* The side of the winner first: as deep as the tree, 20 levels. */
static void search_below(struct search *search, uint32_t i)
{
	uint32_t winner = winner_below(search->ratings, i);

	if (!is_worth_a_look(search, winner))
		return;
	if (i >= search->ratings->leaf_count) {
		look_at(search, winner);
		return;
	}
	uint32_t side = winner_below(search->ratings, 2 * i) != winner;

	search_below(search, 2 * i + side);
	search_below(search, 2 * i + !side);
}

int decider_choose_for(struct decider *decider, const struct ledger *ledger, const struct demand *demand, struct decision *ret_decision,
		       struct err *err)
{
	struct search search = { .ledger = ledger, .demand = demand, .best = CLUSTER_NONE };
	struct ratings *ratings = NULL;
	int r = ledger_check(ledger, demand, err);

	if (r < 0)
		return r;
	struct request charged = ledger_charge(ledger, demand);

	r = prepare(decider, &charged, &ratings, err);
	if (r < 0)
		return r;
	search.ratings = ratings;
	search_below(&search, 1);
	if (search.best == CLUSTER_NONE && search.refused)
		return err_set(err, -ENOSPC, "it fits %u of %u nodes, but the constraints allow none of those", search.refused,
			       decider->cluster->node_count);
	return answer(decider, ratings, search.best == CLUSTER_NONE ? ratings->winner[1] : search.best, ret_decision, err);
}

void decider_rate(const struct decider *decider, const struct request *request, uint32_t node, struct policy_choice *ret_choice)
{
	*ret_choice = (struct policy_choice){ 0 };
	decider->policy->rate(decider->cluster, &decider->typical, request, node, ret_choice);
}

const char *decider_policy_name(const struct decider *decider)
{
	return decider->policy->name;
}
