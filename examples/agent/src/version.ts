/**
 * The agent's version, from its own package.json, which lies one folder above both the sources and the built file.
 */
import { readFileSync } from 'node:fs';

/** Semantic version of the agent. */
export const version: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
