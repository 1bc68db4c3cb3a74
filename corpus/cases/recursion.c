//# what: two functions call each other and only one of them changes
//# changed: walk_right
#include "kernel.h"

struct fork {
	struct fork *left;
	struct fork *right;
	u32 value;
};

u32 walk_right(struct fork *fork, u32 depth);

noinline u32 walk_left(struct fork *fork, u32 depth)
{
	if (!fork || depth > 20)
		return read_register(depth);
	return fork->value + walk_right(fork->left, depth + 1) + walk_left(fork->right, depth);
}

noinline u32 walk_right(struct fork *fork, u32 depth)
{
#ifdef PATCHED
	if (!fork || depth > 12)
#else
	if (!fork || depth > 20)
#endif
		return read_register(depth + 1);
	return fork->value + walk_left(fork->right, depth + 1) + walk_right(fork->left, depth);
}
