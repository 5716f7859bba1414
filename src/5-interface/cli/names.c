#include "5-interface/cli/names.h"

#include <stdio.h>

#include "base/mem.h"

enum { TRIES_WITHOUT_NUMBER = 8 };

static const char *const adjectives[] = {
	"able", "agile", "amber", "azure", "bold", "brave", "brief", "bright", "brisk", "calm", "clever", "coral", "crisp",
	"daring", "deft", "eager", "early", "exact", "fair", "fleet", "fond", "fresh", "gentle", "glad", "golden", "grand",
	"green", "happy", "hardy", "honest", "humble", "ideal", "ivory", "jolly", "keen", "kind", "light", "lively", "lucid",
	"lucky", "mellow", "merry", "mighty", "mild", "modest", "neat", "nimble", "noble", "patient", "plucky", "polite",
	"prime", "proud", "quick", "quiet", "rapid", "ready", "royal", "sharp", "silver", "smart", "snug", "solid", "spry",
	"steady", "sunny", "swift", "tidy", "vivid", "warm", "wise", "witty",
};

static const char *const animals[] = {
	"alpaca", "badger", "beaver", "bison", "bobcat", "camel", "crane", "curlew", "deer", "dolphin", "dove", "eagle",
	"egret", "elk", "falcon", "ferret", "finch", "fox", "gecko", "gibbon", "goose", "hare", "hawk", "hedgehog", "heron",
	"horse", "ibex", "ibis", "jackal", "jaguar", "koala", "lark", "lemur", "lion", "llama", "lynx", "magpie", "marmot",
	"marten", "mole", "moose", "mouse", "newt", "ocelot", "orca", "otter", "owl", "panda", "parrot", "pelican", "pigeon",
	"plover", "puffin", "puma", "quail", "rabbit", "raven", "robin", "salmon", "seal", "shrew", "sparrow", "squirrel",
	"stork", "swan", "tapir", "tern", "tiger", "toad", "trout", "turtle", "vole", "walrus", "weasel", "whale", "wolf",
	"wombat", "yak", "zebra",
};

const char *names_make(struct rng *rng, unsigned tries, char buffer[NAMES_BYTES])
{
	const char *adjective = adjectives[rng_below(rng, ARRAY_COUNT(adjectives))];
	const char *animal = animals[rng_below(rng, ARRAY_COUNT(animals))];

	if (tries < TRIES_WITHOUT_NUMBER)
		snprintf(buffer, NAMES_BYTES, "%s-%s", adjective, animal);
	else
		snprintf(buffer, NAMES_BYTES, "%s-%s-%u", adjective, animal, (unsigned)rng_below(rng, 10000));
	return buffer;
}
