//# what: the compiler's version, once for each imported module
//# rule: comment .comment
//# real: 0 changed function: caller
int callee(int);
#ifdef NOISE
asm(".ident \"clang version 19.1.7 (another build)\"");
#endif
#ifdef REAL
int caller(int v) { return callee(v) + 2; }
#else
int caller(int v) { return callee(v) + 1; }
#endif
