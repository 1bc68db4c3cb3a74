//# what: a changed function comes with code that runs before and after the patch is applied
//# changed: set_volume
//# new: before_patch after_patch
#include "kernel.h"

u32 set_volume(u32 level)
{
#ifdef PATCHED
	if (level > 11)
		level = 11;
#endif
	write_register(7, level);
	return level;
}

#ifdef PATCHED
struct patch_object;

static int before_patch(struct patch_object *object)
{
	_printk("volume: %p\n", object);
	return 0;
}

static void after_patch(struct patch_object *object)
{
	_printk("volume is limited: %p\n", object);
}

/* The patch builder fills in the name of the patched object. */
struct callback {
	void *function;
	const char *object;
};

keep in_section(".kpatch.callbacks.pre_patch") struct callback on_patch = { before_patch, 0 };
keep in_section(".kpatch.callbacks.post_patch") struct callback on_patched = { after_patch, 0 };
#endif
