/**
 * A plugin of typedoc: the site names the file and line of each export as text. Links to a repository would be guesses: a checkout
 * may have no remote, and typedoc takes a remote that it does not know for a fault.
 */
import { Converter } from 'typedoc';
import type { Application, Context, Reflection } from 'typedoc';

/** Called by typedoc. */
export function load({ converter }: Application): void {
  converter.on(
    Converter.EVENT_RESOLVE,
    (_context: Context, reflection: Reflection & { sources?: { url?: string }[] }) => {
      for (const source of reflection.sources ?? []) delete source.url;
    },
    -1000,
  );
}
