//# what: parameters, locals and a structure's fields get other names, which no machine sees
//# exit: 3
#include "kernel.h"

#ifdef PATCHED
#define depth level
#define widest maximum
#endif

struct tree {
	u32 depth;
	u32 widest;
};

u32 measure_tree(struct tree *tree, u32 depth)
{
	u32 widest = tree->widest;

	if (tree->depth < depth)
		tree->depth = depth;
	return widest > depth ? widest : depth;
}
