//# what: a static function that gcc gave other arguments (.isra) differs, its callers do not
//# changed[gcc]: spread_load.isra.0
//# changed[clang]: spread_load
#include "kernel.h"

struct node {
	u32 id;
	u32 weight;
	u32 load;
	struct node *next;
};

static noinline u32 spread_load(const struct node *node, u32 rank)
{
	u32 share = node->load / 3 + rank;

#ifdef PATCHED
	if (share > 100)
		share = 100;
#endif
	write_register(share, rank);
	wait_for(share);
	return share;
}

u32 balance_up(const struct node *node, u32 rank)
{
	return spread_load(node, rank) + 1;
}

u32 balance_down(const struct node *node, u32 rank)
{
	return spread_load(node->next, rank + 1) - 1;
}
