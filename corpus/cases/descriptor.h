/* Descriptors of debug messages, laid out as in Linux 6.12. */
struct descriptor {
	const char *module;
	const char *function;
	const char *file;
	const char *format;
	u32 line : 18;
	u32 class : 6;
	u32 flags : 8;
	u64 key[2];
};

void print_debug(struct descriptor *descriptor, u32 value);

#define DEBUG_MESSAGE(text, at, print, value)                                                      \
	do {                                                                                       \
		static struct descriptor in_section("__dyndbg")                                    \
			__attribute__((aligned(8))) descriptor = {                                 \
				"doors", "open", "doors", text, at, 63, print, { 0, 0 }            \
			};                                                                         \
		print_debug(&descriptor, value);                                                   \
	} while (0)
