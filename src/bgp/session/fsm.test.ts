import { describe, expect, it } from 'vitest';
import type { FsmConfig, FsmEvent, FsmState, FsmStep } from './fsm.ts';
import { INITIAL, sessionState, step } from './fsm.ts';

const config: FsmConfig = {
  passive: false,
  connectRetryMs: 5000,
  delayOpenMs: 0,
  idleHoldMs: 1000,
  idleHoldMaxMs: 60_000,
};
const facts = { holdMs: 90_000, weAreHigher: true, graceful: false };

/** Runs events from a state and returns the last step. */
function run(events: readonly FsmEvent[], from: FsmState = INITIAL, using: FsmConfig = config): FsmStep {
  let last: FsmStep = { state: from, actions: [] };
  for (const event of events) last = step(last.state, event, using);
  return last;
}
const said = (done: FsmStep): string[] =>
  done.actions.map((action) => {
    switch (action.do) {
      case 'send':
        return `send ${action.side} ${action.message}`;
      case 'notify':
        return `notify ${action.side} ${action.notification.code}/${action.notification.subcode}`;
      case 'refuse':
        return `refuse ${action.notification.code}/${action.notification.subcode}`;
      case 'set':
      case 'set-connection':
        return `${action.timer} ${action.ms}`;
      case 'clear':
      case 'clear-connection':
        return `-${action.timer}`;
      case 'dial':
      case 'abort-dial':
        return action.do;
      default:
        return `${action.do} ${action.side}`;
    }
  });

const START: FsmEvent = { type: 'start' };
const OUT: FsmEvent = { type: 'connected', side: 'out' };
const IN: FsmEvent = { type: 'connected', side: 'in' };
const open = (side: 'out' | 'in', more: Partial<typeof facts> = {}): FsmEvent => ({
  type: 'open',
  side,
  facts: { ...facts, ...more },
});
const alive = (side: 'out' | 'in'): FsmEvent => ({ type: 'keepalive', side });
const UP = [START, OUT, open('out'), alive('out')];

describe('one connection', () => {
  it.each([
    ['start dials', [START], 'connect', ['dial', 'connect-retry 5000']],
    [
      'connected sends OPEN with a large hold timer',
      [START, OUT],
      'opensent',
      ['adopt out', '-connect-retry', 'send out open', 'hold 240000'],
    ],
    [
      'OPEN is answered by KEEPALIVE',
      [START, OUT, open('out')],
      'openconfirm',
      ['-delay-open', 'send out keepalive', 'hold 90000', 'keepalive 30000'],
    ],
    ['KEEPALIVE makes it up', UP, 'established', ['-connect-retry', 'up out']],
    [
      'hold time 0 sets no timers',
      [START, OUT, open('out', { holdMs: 0 })],
      'openconfirm',
      ['-delay-open', 'send out keepalive', '-hold'],
    ],
    [
      'a refused dial waits in Active',
      [START, { type: 'dial-failed', reason: 'refused' }],
      'active',
      ['connect-retry 5000'],
    ],
    [
      'the retry timer dials again',
      [START, { type: 'dial-failed', reason: 'refused' }, { type: 'timer', timer: 'connect-retry' }],
      'connect',
      ['dial', 'connect-retry 5000'],
    ],
    [
      'the retry timer gives up a dial that hangs',
      [START, { type: 'timer', timer: 'connect-retry' }],
      'connect',
      ['abort-dial', 'dial', 'connect-retry 5000'],
    ],
    [
      'hold timer',
      [...UP, { type: 'connection-timer', timer: 'hold', side: 'out' }],
      'idle',
      [
        '-delay-open',
        '-hold',
        '-keepalive',
        'notify out 4/0',
        'close out',
        'down out',
        '-connect-retry',
        'idle-hold 1000',
      ],
    ],
    [
      'keepalive timer',
      [...UP, { type: 'connection-timer', timer: 'keepalive', side: 'out' }],
      'established',
      ['send out keepalive'],
    ],
    [
      'stop says Cease',
      [...UP, { type: 'stop', notification: { code: 6, subcode: 2, data: new Uint8Array(0) } }],
      'idle',
      ['-delay-open', '-hold', '-keepalive', 'notify out 6/2', 'close out', 'down out', '-connect-retry', '-idle-hold'],
    ],
    [
      'UPDATE in OpenSent',
      [START, OUT, { type: 'update', side: 'out' }],
      'idle',
      [
        '-delay-open',
        '-hold',
        '-keepalive',
        'notify out 5/1',
        'close out',
        'failed out',
        '-connect-retry',
        'idle-hold 1000',
      ],
    ],
    [
      'UPDATE in OpenConfirm',
      [START, OUT, open('out'), { type: 'update', side: 'out' }],
      'idle',
      [
        '-delay-open',
        '-hold',
        '-keepalive',
        'notify out 5/2',
        'close out',
        'failed out',
        '-connect-retry',
        'idle-hold 1000',
      ],
    ],
    [
      'a second OPEN',
      [...UP, open('out')],
      'idle',
      [
        '-delay-open',
        '-hold',
        '-keepalive',
        'notify out 5/3',
        'close out',
        'down out',
        '-connect-retry',
        'idle-hold 1000',
      ],
    ],
    [
      'KEEPALIVE in OpenSent',
      [START, OUT, alive('out')],
      'idle',
      [
        '-delay-open',
        '-hold',
        '-keepalive',
        'notify out 5/1',
        'close out',
        'failed out',
        '-connect-retry',
        'idle-hold 1000',
      ],
    ],
    [
      'NOTIFICATION is not answered',
      [...UP, { type: 'notification', side: 'out', reason: 'x', versionError: false }],
      'idle',
      ['-delay-open', '-hold', '-keepalive', 'close out', 'down out', '-connect-retry', 'idle-hold 1000'],
    ],
    [
      'a version error is not damped',
      [START, OUT, { type: 'notification', side: 'out', reason: 'x', versionError: true }],
      'active',
      ['-delay-open', '-hold', '-keepalive', 'close out', 'failed out', '-connect-retry', 'connect-retry 5000'],
    ],
    ['nothing happens before start', [IN], 'idle', ['refuse 6/5']],
  ] as const)('%s', (_name, events, state, actions) => {
    const done = run(events);
    expect(sessionState(done.state)).toBe(state);
    expect(said(done)).toEqual(actions);
  });

  it('damping doubles with every failure and is forgotten when the session comes up', () => {
    let state = run([START]).state;
    const pauses: string[] = [];
    for (let round = 0; round < 8; round++) {
      const failed = run([OUT, { type: 'closed', side: 'out', reason: 'reset' }], state);
      pauses.push(said(failed).find((one) => one.startsWith('idle-hold'))!);
      state = run([{ type: 'timer', timer: 'idle-hold' }], failed.state).state;
    }
    expect(pauses.map((text) => Number(text.split(' ')[1]))).toEqual([
      1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000,
    ]);
    expect(run([OUT, open('out'), alive('out')], state).state.failures).toBe(0);
  });

  it('delay open: waits, and sends its OPEN at once when the peer is first', () => {
    const delayed = { ...config, delayOpenMs: 700 };
    expect(said(run([START, OUT], INITIAL, delayed))).toEqual(['adopt out', '-connect-retry', 'delay-open 700']);
    expect(
      said(run([START, OUT, { type: 'connection-timer', timer: 'delay-open', side: 'out' }], INITIAL, delayed)),
    ).toEqual(['send out open', 'hold 240000']);
    expect(said(run([START, OUT, open('out')], INITIAL, delayed)).slice(0, 3)).toEqual([
      '-delay-open',
      'send out open',
      'send out keepalive',
    ]);
  });

  it('passive never dials, not even after a failure', () => {
    const passive = { ...config, passive: true };
    expect(said(run([START], INITIAL, passive))).toEqual([]);
    expect(sessionState(run([START, IN, open('in'), alive('in')], INITIAL, passive).state)).toBe('established');
    const failed = run(
      [START, IN, { type: 'closed', side: 'in', reason: 'x' }, { type: 'timer', timer: 'idle-hold' }],
      INITIAL,
      passive,
    );
    expect(said(failed)).toEqual([]);
    expect(sessionState(failed.state)).toBe('active');
  });
});

describe('collision (RFC 4271 section 6.8)', () => {
  const both = [START, OUT, IN];
  it('the connection dialled by the higher identifier stays', () => {
    const weWin = run([...both, open('in', { weAreHigher: true }), open('out', { weAreHigher: true })]);
    expect([weWin.state.out, weWin.state.in]).toEqual(['openconfirm', undefined]);
    expect(said(weWin)).toContain('notify in 6/7');
    const theyWin = run([...both, open('in', { weAreHigher: false }), open('out', { weAreHigher: false })]);
    expect([theyWin.state.out, theyWin.state.in]).toEqual([undefined, 'openconfirm']);
    expect(said(theyWin)).toContain('notify out 6/7');
  });
  it('an established session survives a second connection', () => {
    const done = run([...UP, IN, open('in', { weAreHigher: false })]);
    expect([done.state.out, done.state.in]).toEqual(['established', undefined]);
    expect(said(done)).toContain('notify in 6/7');
  });
  it('a restarted peer replaces its established session (RFC 4724 section 5)', () => {
    const done = run([...UP, IN, open('in', { graceful: true })]);
    expect([done.state.out, done.state.in]).toEqual([undefined, 'openconfirm']);
    expect(done.actions).toContainEqual(expect.objectContaining({ do: 'down', graceful: true }));
    expect(said(done).some((one) => one.startsWith('notify out'))).toBe(false);
  });
  it('a newer accepted connection replaces one on which nothing was heard, and no other', () => {
    const passive = { ...config, passive: true };
    const again = run([START, IN, IN], INITIAL, passive);
    expect(said(again)).toEqual([
      '-delay-open',
      '-hold',
      '-keepalive',
      'notify in 6/7',
      'close in',
      'failed in',
      'adopt in',
      '-connect-retry',
      'send in open',
      'hold 240000',
    ]);
    for (const further of [[open('in')], [open('in'), alive('in')]]) {
      const before = run([START, IN, ...further], INITIAL, passive);
      const refused = run([IN], before.state, passive);
      expect(said(refused)).toEqual(['refuse 6/5']);
      expect(refused.state).toEqual(before.state);
    }
  });
  it('a peer with graceful restart may come again while the session that it opened stands (RFC 4724 section 5)', () => {
    const up = run([START, IN, open('in'), alive('in')], INITIAL, { ...config, passive: true });
    const again: FsmEvent = { type: 'connected', side: 'in', graceful: true };
    const second = run([again], up.state);
    expect([second.state.in, second.state.out]).toEqual(['established', 'opensent']);
    const done = run([open('out', { graceful: true }), alive('out')], second.state);
    expect([done.state.in, done.state.out]).toEqual([undefined, 'established']);
    expect(said(run([again, again], up.state))).toContain('notify out 6/7');
  });
  it('one of two failing leaves the other alone', () => {
    const done = run([...both, { type: 'closed', side: 'out', reason: 'reset' }]);
    expect(sessionState(done.state)).toBe('opensent');
    expect(done.state.in).toBe('opensent');
  });
});
