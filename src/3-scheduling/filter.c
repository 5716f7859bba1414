#include <errno.h>

#include "3-scheduling/filter_private.h"
#include "base/mem.h"

static int check_near(const struct places *places, const struct near *near, uint32_t count, struct err *err)
{
	if (count > CONSTRAINTS_MAX)
		return err_set(err, -EINVAL, "%u constraints of one sort: %d are possible", count, CONSTRAINTS_MAX);
	for (uint32_t i = 0; i < count; i++)
		if (near[i].group >= places->groups.count || near[i].domain_kind > DOMAIN_SELF)
			return err_set(err, -ENOENT, "group %u or kind of domain %u does not exist", near[i].group, near[i].domain_kind);
	return 0;
}

static int check_labels(const struct places *places, const uint32_t *labels, uint32_t count, struct err *err)
{
	if (count > CONSTRAINTS_MAX)
		return err_set(err, -EINVAL, "%u labels: %d are possible", count, CONSTRAINTS_MAX);
	for (uint32_t i = 0; i < count; i++)
		if (labels[i] >= places->labels.count)
			return err_set(err, -ENOENT, "label %u does not exist", labels[i]);
	return 0;
}

static int check_preferences(const struct places *places, const struct constraints *c, struct err *err)
{
	if (c->preferred_count > CONSTRAINTS_MAX)
		return err_set(err, -EINVAL, "%u preferences: %d are possible", c->preferred_count, CONSTRAINTS_MAX);
	for (uint32_t i = 0; i < c->preferred_count; i++) {
		const struct preference *preference = &c->preferred[i];
		const struct near near = { preference->number, preference->domain_kind };
		bool is_of_group = preference->kind == PREFER_WITH || preference->kind == PREFER_WITHOUT;
		int r = is_of_group ? check_near(places, &near, 1, err) : check_labels(places, &preference->number, 1, err);

		if (r == 0 && (preference->kind > PREFER_WITHOUT || !preference->weight))
			r = err_set(err, -EINVAL, "preference %u is of kind %u and weighs %u: use kinds 0 to %d and weights of 1 or more", i,
				    preference->kind, preference->weight, PREFER_WITHOUT);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_contradictions(const struct places *places, const struct constraints *c, struct err *err)
{
	for (uint32_t i = 0; i < c->label_count; i++)
		for (uint32_t j = 0; j < c->not_label_count; j++)
			if (c->labels[i] == c->not_labels[j])
				return err_set(err, -EINVAL, "label '%s' is required and forbidden", places->labels.texts[c->labels[i]]);
	for (uint32_t i = 0; i < c->with_count; i++)
		for (uint32_t j = 0; j < c->without_count; j++)
			if (c->with[i].group == c->without[j].group && c->with[i].domain_kind == c->without[j].domain_kind)
				return err_set(err, -EINVAL, "group '%s' is required and forbidden in one domain",
					       places->groups.texts[c->with[i].group]);
	return 0;
}

int constraints_check(const struct places *places, const struct constraints *c, struct err *err)
{
	int r = check_labels(places, c->labels, c->label_count, err);

	r = r ? r : check_labels(places, c->any_labels, c->any_label_count, err);
	r = r ? r : check_labels(places, c->not_labels, c->not_label_count, err);
	r = r ? r : check_near(places, c->with, c->with_count, err);
	r = r ? r : check_near(places, c->without, c->without_count, err);
	if (r == 0 && c->spread_count > CONSTRAINTS_MAX)
		r = err_set(err, -EINVAL, "%u spread constraints: %d are possible", c->spread_count, CONSTRAINTS_MAX);
	for (uint32_t i = 0; i < c->spread_count && r == 0; i++)
		if (c->spread[i].group >= places->groups.count || c->spread[i].domain_kind >= DOMAIN_KINDS_MAX || !c->spread[i].skew)
			r = err_set(err, -EINVAL, "spread of group %u over kind %u by %u: use a known group and kind, and 1 or more",
				    c->spread[i].group, c->spread[i].domain_kind, c->spread[i].skew);
	r = r ? r : check_preferences(places, c, err);
	return r ? r : check_contradictions(places, c, err);
}

static bool is_spread(const struct places *places, const struct constraints *c, uint32_t i, uint32_t node)
{
	uint8_t kind = c->spread[i].domain_kind;

	return places->domains[kind][node] >= 0 &&
	       group_count(places, c->spread[i].group, kind, node) + 1 <= group_lowest(places, c->spread[i].group, kind) + c->spread[i].skew;
}

/* A node that nothing was said about has no labels, no taints and is in no domain. */
static bool is_known(const struct places *places, uint32_t node)
{
	return node < places->node_capacity;
}

static bool has_any_label(const struct places *places, const struct constraints *c, uint32_t node)
{
	for (uint32_t i = 0; i < c->any_label_count; i++)
		if (has_label(places, node, c->any_labels[i]))
			return true;
	return !c->any_label_count;
}

bool constraints_allow(const struct places *places, const struct constraints *c, uint32_t node)
{
	if (!is_known(places, node))
		return !c->label_count && !c->any_label_count && !c->with_count && !c->spread_count;
	if (places->node_taints[node] & ~c->tolerated_taints)
		return false;
	for (uint32_t i = 0; i < c->label_count; i++)
		if (!has_label(places, node, c->labels[i]))
			return false;
	if (!has_any_label(places, c, node))
		return false;
	for (uint32_t i = 0; i < c->not_label_count; i++)
		if (has_label(places, node, c->not_labels[i]))
			return false;
	for (uint32_t i = 0; i < c->with_count; i++)
		if (!group_count(places, c->with[i].group, c->with[i].domain_kind, node))
			return false;
	for (uint32_t i = 0; i < c->without_count; i++)
		if (group_count(places, c->without[i].group, c->without[i].domain_kind, node))
			return false;
	for (uint32_t i = 0; i < c->spread_count; i++)
		if (!is_spread(places, c, i, node))
			return false;
	return true;
}

static bool is_met(const struct places *places, const struct preference *preference, uint32_t node)
{
	switch ((enum preference_kind)preference->kind) {
	case PREFER_LABEL: return is_known(places, node) && has_label(places, node, preference->number);
	case PREFER_NOT_LABEL: return !is_known(places, node) || !has_label(places, node, preference->number);
	case PREFER_WITH: return is_known(places, node) && group_count(places, preference->number, preference->domain_kind, node);
	case PREFER_WITHOUT: return !is_known(places, node) || !group_count(places, preference->number, preference->domain_kind, node);
	}
	return true;
}

uint32_t constraints_unmet(const struct places *places, const struct constraints *c, uint32_t node)
{
	uint32_t unmet = 0;

	for (uint32_t i = 0; i < c->preferred_count; i++)
		if (!is_met(places, &c->preferred[i], node))
			unmet += c->preferred[i].weight;
	return unmet;
}

static void explain_groups(const struct places *places, const struct constraints *c, uint32_t node, struct str *text)
{
	for (uint32_t i = 0; i < c->with_count; i++)
		if (!is_known(places, node) || !group_count(places, c->with[i].group, c->with[i].domain_kind, node))
			str_printf(text, "none of group '%s' runs there; ", places->groups.texts[c->with[i].group]);
	for (uint32_t i = 0; i < c->without_count && is_known(places, node); i++)
		if (group_count(places, c->without[i].group, c->without[i].domain_kind, node))
			str_printf(text, "%u of group '%s' run there; ", group_count(places, c->without[i].group, c->without[i].domain_kind, node),
				   places->groups.texts[c->without[i].group]);
	for (uint32_t i = 0; i < c->spread_count; i++)
		if (!is_known(places, node) || places->domains[c->spread[i].domain_kind][node] < 0)
			str_printf(text, "is in no failure domain of kind %u; ", c->spread[i].domain_kind);
		else if (!is_spread(places, c, i, node))
			str_printf(text, "its domain has %u of group '%s', the emptiest %u: one more is beyond a skew of %u; ",
				   group_count(places, c->spread[i].group, c->spread[i].domain_kind, node), places->groups.texts[c->spread[i].group],
				   group_lowest(places, c->spread[i].group, c->spread[i].domain_kind), c->spread[i].skew);
}

void constraints_explain(const struct places *places, const struct constraints *c, uint32_t node, struct str *text)
{
	size_t before = text->size;

	for (uint32_t t = 0; t < places->taints.count && is_known(places, node); t++)
		if ((places->node_taints[node] & ~c->tolerated_taints) >> t & 1)
			str_printf(text, "has taint '%s', which is not tolerated; ", places->taints.texts[t]);
	for (uint32_t i = 0; i < c->label_count; i++)
		if (!is_known(places, node) || !has_label(places, node, c->labels[i]))
			str_printf(text, "lacks label '%s'; ", places->labels.texts[c->labels[i]]);
	if (c->any_label_count && (!is_known(places, node) || !has_any_label(places, c, node)))
		for (uint32_t i = 0; i < c->any_label_count; i++)
			str_printf(text, "%s'%s'%s", i ? " and " : "lacks labels ", places->labels.texts[c->any_labels[i]],
				   i + 1 == c->any_label_count ? ", one of which would do; " : "");
	for (uint32_t i = 0; i < c->not_label_count && is_known(places, node); i++)
		if (has_label(places, node, c->not_labels[i]))
			str_printf(text, "has label '%s'; ", places->labels.texts[c->not_labels[i]]);
	explain_groups(places, c, node, text);
	if (text->size > before) {		/* The last "; ". */
		text->size -= 2;
		text->data[text->size] = 0;
	}
}
