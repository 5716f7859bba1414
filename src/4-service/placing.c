#include "4-service/placing.h"

#include <errno.h>

#include "base/mem.h"
#include "base/str.h"

/* Each node that takes new instances is a failure domain: others do not hold up those that are spread. */
enum { SPREAD_KIND };

static char *label_text(const struct field_list *labels, size_t i)
{
	const struct field_pair *pair = field_list_at(labels, struct field_pair, i);

	return text_format("%s=%s", pair->key, pair->value);
}

static const char *value_of(const struct field_list *labels, const char *key)
{
	for (size_t i = 0; i < labels->count; i++)
		if (text_equal(field_list_at(labels, struct field_pair, i)->key, key))
			return field_list_at(labels, struct field_pair, i)->value;
	return NULL;
}

static int add_near(struct places *places, const struct field_list *texts, struct near *near, uint32_t *count, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < texts->count && r == 0; i++) {
		near[*count].domain_kind = DOMAIN_SELF;
		r = places_group(places, *field_list_at(texts, char *, i), &near[(*count)++].group, err);
	}
	return r;
}

static int add_labels(struct places *places, const struct field_list *texts, struct constraints *constraints, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < texts->count && r == 0; i++)
		r = places_label(places, *field_list_at(texts, char *, i), &constraints->labels[constraints->label_count++], err);
	return r;
}

static int add_spread(struct places *places, const struct instance *instance, struct constraints *constraints, struct err *err)
{
	const char *key = instance->spec.placement.spread, *value = key ? value_of(&instance->meta.labels, key) : NULL;
	auto_free char *text = NULL;

	if (!key)
		return 0;
	if (!value)
		return err_set(err, -EINVAL, "spec.placement.spread: the instance has no label '%s': give it one (--label %s=...)", key, key);
	text = text_format("%s=%s", key, value);
	constraints->spread[constraints->spread_count].domain_kind = SPREAD_KIND;
	constraints->spread[constraints->spread_count].skew = 1;
	return places_group(places, text, &constraints->spread[constraints->spread_count++].group, err);
}

static void append_texts(char what, const struct field_list *texts, struct str *key)
{
	for (size_t i = 0; i < texts->count; i++)
		str_printf(key, "\n%c%s", what, *field_list_at(texts, char *, i));
}

int placing_fill(struct places *places, const struct instance *instance, struct demand *demand, struct str *key, struct err *err)
{
	const struct instance_placement *placement = &instance->spec.placement;
	struct constraints *constraints = &demand->constraints;
	struct err ignored;
	int r = add_labels(places, &placement->labels, constraints, err);

	if (r == 0)
		r = add_near(places, &placement->with, constraints->with, &constraints->with_count, err);
	if (r == 0)
		r = add_near(places, &placement->without, constraints->without, &constraints->without_count, err);
	if (r == 0)
		r = add_spread(places, instance, constraints, err);
	if (r < 0)
		return err_prefix(err, "spec.placement");
	append_texts('l', &placement->labels, key);
	append_texts('w', &placement->with, key);
	append_texts('o', &placement->without, key);
	str_printf(key, "\ns%s", placement->spread ? placement->spread : "");
	for (size_t i = 0; i < instance->meta.labels.count && demand->group_count < DEMAND_GROUPS_MAX; i++) {
		auto_free char *text = label_text(&instance->meta.labels, i);

		/* More different labels than there may be groups: then nobody can ask to be near it. */
		if (places_group(places, text, &demand->groups[demand->group_count], &ignored) == 0)
			demand->group_count++;
		str_printf(key, "\ng%s", text);
	}
	return 0;
}

static bool lists(const struct field_list *labels, const char *text)
{
	for (size_t i = 0; i < labels->count; i++) {
		auto_free char *label = label_text(labels, i);

		if (text_equal(label, text))
			return true;
	}
	return false;
}

int placing_label_node(struct places *places, uint32_t node, const struct field_list *labels, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < labels->count && r == 0; i++) {
		auto_free char *text = label_text(labels, i);
		uint32_t label;

		r = places_label(places, text, &label, err);
	}
	for (uint32_t label = 0; label < places->labels.count && r == 0; label++)
		r = places_set_label(places, node, label, lists(labels, places->labels.texts[label]), err);
	return r;
}

int placing_set_domain(struct places *places, uint32_t node, bool takes_new, struct err *err)
{
	return places_set_domain(places, node, SPREAD_KIND, takes_new && node < DOMAINS_MAX ? (int16_t)node : -1, err);
}
