//# what: a static constant table gets another row, and with it another size
//# changed: find_model
#include "kernel.h"

struct model {
	u32 id, revision;
};

static const struct model models[] = {
	{ 0x1200, 4 }, { 0x8723, 1 }, { 0x8821, 2 }, { 0x8761, 3 }, { 0x8822, 8 },
	{ 0x1201, 5 }, { 0x8724, 7 }, { 0x8823, 9 }, { 0x8762, 6 }, { 0x8824, 1 },
#ifdef PATCHED
	{ 0x8852, 51 },
#endif
};

u32 find_model(u32 id)
{
	u32 i;

	for (i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (models[i].id == read_register(id))
			return models[i].revision;
	return 0;
}

u32 count_models(u32 id)
{
	return read_register(id) + 4;
}
