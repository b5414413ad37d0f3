// One file a start loads: hundreds of small ones cost a second on a slow node, and memory. What stays outside is loaded only when it is
// asked for: the kubeconfig machinery and the native FFI.
import { defineConfig } from 'tsup';

export default defineConfig({
  // the BFD thread's program is a file of its own, looked for beside whatever loads the speaker
  entry: { main: 'src/main.ts', 'bfd-worker': '../../src/bgp/bfd/worker.ts' },
  format: 'esm',
  target: 'node22',
  platform: 'node',
  splitting: true,
  clean: true,
  dts: false,
  noExternal: [/^(?!@kubernetes\/client-node|koffi)/],
  external: ['@kubernetes/client-node', 'koffi'],
  // The engine keeps the text for as long as the process lives, and twice as large when one character in it is not Latin. Names stay,
  // for stack traces.
  esbuildOptions(options) {
    options.charset = 'ascii';
    options.minifyWhitespace = true;
    options.minifySyntax = true;
  },
  // CommonJS dependencies call require for Node's own modules
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
});
