/* no_symbol: a shared object that is no plugin. */
int no_symbol_at_all(void);

__attribute__((visibility("default"))) int no_symbol_at_all(void)
{
	return 0;
}
