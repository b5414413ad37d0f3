import { defineConfig } from 'vitest/config';

const alias = [
  { find: /^kube-router-sdk$/, replacement: new URL('src/index.ts', import.meta.url).pathname },
  { find: /^kube-router-sdk\/([a-z]+)$/, replacement: new URL('src/$1/index.ts', import.meta.url).pathname },
];

/** Long, or sensitive to what else the machine does: run by `make proof-<block>`, which sets PROOF. */
const proofOnly = process.env['PROOF']
  ? []
  : [
      'test/kernel/ipvs-packets.test.ts',
      'test/kernel/ipvs-table.test.ts',
      'test/kernel/ipvs-dsr-paths.test.ts',
      'test/kernel/ipvs-rolling.test.ts',
      'test/kernel/ipvs-flat.test.ts',
      'test/kernel/ipvs-crash.test.ts',
      'test/kernel/ipvs-dsr.test.ts',
      'test/netns/ipvs-cri.test.ts',
      'test/kernel/routing-overlay.test.ts',
      'test/kernel/routing-ingress.test.ts',
      'test/netns/firewall-coexistence.test.ts',
      'test/netns/firewall-crash.test.ts',
      'test/netns/routing.test.ts',
      'test/netns/routing-heal.test.ts',
      'test/netns/routing-overlay.test.ts',
      'test/netns/routing-convergence.test.ts',
      'test/peers/ingress-ecmp.test.ts',
      'test/peers/bgp-bfd.test.ts',
      'test/peers/envtest-stand-in.test.ts',
      'test/peers/bgp-bird-session.test.ts',
      'test/peers/bgp-frr-session.test.ts',
      'test/peers/bgp-gobgp.test.ts',
      'test/peers/bgp-hostile.test.ts',
      'test/peers/bgp-rib.test.ts',
      'test/peers/bgp-route-server.test.ts',
      'test/peers/bgp-two-of-ours.test.ts',
    ];

/** One project per level of proof; see CONTRIBUTING. */
const project = (name: string, include: string[], testTimeout: number) => ({
  resolve: { alias },
  test: {
    name,
    include,
    testTimeout,
    hookTimeout: testTimeout,
    pool: 'forks' as const,
    exclude: ['**/node_modules/**', '**/dist/**', ...proofOnly],
  },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project('pure', ['src/**/*.test.ts', 'examples/**/*.test.ts'], 20_000),
      project('netns', ['test/netns/**/*.test.ts'], 120_000),
      project('kernel', ['test/kernel/**/*.test.ts'], 300_000),
      project('peers', ['test/peers/**/*.test.ts'], 120_000),
      // long ones, run by `make proof` alone
      project('proof', ['test/proof/**/*.test.ts'], 600_000),
      project('package', ['test/package/**/*.test.ts'], 300_000),
      project('conformance', ['test/conformance/**/*.test.ts'], 300_000),
    ],
  },
});
