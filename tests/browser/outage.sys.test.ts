/** CLIENT §4, cases 5, 7, 10–12: servers that die, days without a network, tokens, sessions, clocks. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Page } from 'playwright-core';
import { Company } from './company.ts';
import {
  areSettled,
  comeOnline,
  composer,
  newName,
  openListed,
  openWith,
  seen,
  send,
  SETTLED,
  signIn,
  signUp,
  texts,
  trespasses,
  until,
} from './person.ts';
import { RunningServer } from './running-server.ts';

const HOUR = 3_600_000;
const TOKEN_MS = 4_000;

describe('outages in a browser', () => {
  const company = new Company();
  const { server } = company;
  const impatient = new RunningServer({ PARLEY_ACCESS_TOKEN_TTL_MS: String(TOKEN_MS) });

  before(async () => {
    await Promise.all([company.start(), impatient.start()]);
  });

  after(async () => {
    await company.stop();
    await impatient.stop();
  });

  it('a server killed amid 50 sends: all arrive once, in order, none failed (case 5)', async () => {
    const [ana, bo] = [await company.newDesk(), await company.newDesk()];
    const [anaName, boName] = [newName('ana'), newName('bo')];
    const anaPage = await signUp(ana, anaName);
    const boPage = await signUp(bo, boName);
    await openWith(anaPage, boName);
    await openWith(boPage, anaName);
    const wanted = Array.from({ length: 50 }, (_, i) => `amid ${i}`);
    for (const [i, text] of wanted.entries()) {
      await send(anaPage, text);
      if (i === 20) await server.kill();
      if (i === 35) await server.start();
    }
    await comeOnline(ana);
    await comeOnline(bo);
    const rows = await until(anaPage, (now) => now.length >= 50 && areSettled(now.slice(-50)), {
      ms: 40_000,
    });
    assert.deepEqual(rows.map((row) => row.text).slice(-50), wanted);
    assert.equal(
      rows.some((row) => row.state === 'FAILED'),
      false,
    );
    await until(boPage, (now) => now.at(-1)?.text === 'amid 49', { ms: 40_000 });
    assert.deepEqual((await texts(boPage)).slice(-50), wanted);
  });

  it('24 hours in the queue is a failure with Retry, and Retry makes one copy (case 7)', async () => {
    const [ana, bo] = [await company.newDesk(), await company.newDesk()];
    const boName = newName('bo');
    await ana.context.clock.install();
    const boPage = await signUp(bo, boName);
    const anaPage = await signUp(ana, newName('ana'), 'Ana Late');
    await openWith(anaPage, boName);
    await send(anaPage, 'before');
    await until(anaPage, (rows) => rows.length === 1 && areSettled(rows));
    ana.proxy.cut();
    await send(anaPage, 'a day late');
    await until(anaPage, (rows) => rows.at(-1)?.state === 'SENDING');
    await ana.context.clock.fastForward('23:59:00');
    assert.equal((await seen(anaPage)).at(-1)?.state, 'SENDING');
    await ana.context.clock.fastForward('02:00');
    await until(anaPage, (rows) => rows.at(-1)?.state === 'FAILED');
    await comeOnline(ana);
    await anaPage.getByRole('button', { name: /^Not sent.*Retry/ }).click();
    await until(anaPage, (rows) => SETTLED.has(rows.at(-1)?.state ?? ''), { ms: 20_000 });
    await openListed(boPage, 'Ana Late');
    await until(boPage, (rows) => rows.length === 2);
    assert.deepEqual(await texts(boPage), ['before', 'a day late']);
  });

  it('an edit that waited 24 hours says so on its row, and Retry makes it', async () => {
    const [ana, bo] = [await company.newDesk(), await company.newDesk()];
    const boName = newName('bo');
    await ana.context.clock.install();
    const boPage = await signUp(bo, boName);
    const anaPage = await signUp(ana, newName('ana'), 'Ana Slow');
    await openWith(anaPage, boName);
    await send(anaPage, 'as it was');
    await until(anaPage, (rows) => rows.length === 1 && areSettled(rows));
    ana.proxy.cut();
    await composer(anaPage).press('ArrowUp');
    await composer(anaPage).fill('as it is');
    await composer(anaPage).press('Enter');
    await until(anaPage, (rows) => rows[0]?.text === 'as it is');
    await ana.context.clock.fastForward('24:01:00');
    await until(anaPage, (rows) => rows[0]?.text === 'as it was');
    await comeOnline(ana);
    await anaPage.getByRole('button', { name: /^Not changed.*Retry/ }).click();
    await openListed(boPage, 'Ana Slow');
    await until(boPage, (rows) => rows[0]?.text === 'as it is', { ms: 20_000 });
    assert.equal(await anaPage.locator('.tick-failed').count(), 0);
  });

  it('short tokens: no sign-in, one refresh per expiry, nothing missed (case 10)', async () => {
    const [ana, bo] = [await company.newDesk({}, impatient), await company.newDesk({}, impatient)];
    const [anaName, boName] = [newName('ana'), newName('bo')];
    const anaPage = await signUp(ana, anaName, 'Ana Brief');
    const boPage = await signUp(bo, boName);
    await openWith(boPage, anaName);
    await send(boPage, 'tick 0');
    await openListed(anaPage, boName);
    const before = ana.proxy.calls('/v1/auth/refresh');
    const lives = 3;
    for (let i = 1; i <= lives * 4; i++) {
      await anaPage.waitForTimeout(TOKEN_MS / 4);
      await send(boPage, `tick ${i}`);
    }
    await until(anaPage, (rows) => rows.length === lives * 4 + 1);
    const refreshes = ana.proxy.calls('/v1/auth/refresh') - before;
    // The server warns at half of so short a life, so a token lives two to four seconds.
    assert.ok(refreshes >= lives - 1 && refreshes <= lives * 2 + 1, `${refreshes} refreshes`);
    assert.equal(await anaPage.getByLabel('Password').count(), 0);
    assert.equal(ana.proxy.calls('/v1/auth/login'), 0);
  });

  it('a revoked session: the same user signs in again and finds draft and outbox (case 11)', async () => {
    const [ana, other, bo] = [
      await company.newDesk(),
      await company.newDesk(),
      await company.newDesk(),
    ];
    const [anaName, boName] = [newName('ana'), newName('bo')];
    await signUp(bo, boName);
    const anaPage = await signUp(ana, anaName);
    await openWith(anaPage, boName);
    await send(anaPage, 'first');
    await until(anaPage, (rows) => rows.length === 1 && areSettled(rows));
    ana.proxy.cut();
    await send(anaPage, 'waiting');
    await composer(anaPage).fill('half a thought');
    await anaPage.waitForTimeout(600);
    await revokeOthers(await signIn(other, anaName));
    await comeOnline(ana);
    await anaPage.getByRole('heading', { name: 'Sign in to Parley' }).waitFor();
    await signIn(ana, anaName, anaPage);
    await openListed(anaPage, boName);
    await until(anaPage, (rows) => rows.length === 2 && areSettled(rows));
    assert.deepEqual(await texts(anaPage), ['first', 'waiting']);
    assert.equal(await composer(anaPage).inputValue(), 'half a thought');
  });

  it('clocks two hours ahead and a day behind: one order, the server’s times (case 12)', async () => {
    const [ahead, behind, right] = [
      await company.newDesk(),
      await company.newDesk(),
      await company.newDesk(),
    ];
    await ahead.context.clock.install({ time: Date.now() + 2 * HOUR });
    await behind.context.clock.install({ time: Date.now() - 24 * HOUR });
    const [aheadName, behindName] = [newName('ahead'), newName('behind')];
    const aheadPage = await signUp(ahead, aheadName);
    const behindPage = await signUp(behind, behindName);
    await openWith(aheadPage, behindName);
    await openWith(behindPage, aheadName);
    for (let i = 0; i < 4; i++) {
      await send(i % 2 === 0 ? aheadPage : behindPage, `turn ${i}`);
      for (const page of [aheadPage, behindPage])
        await until(page, (rows) => rows.length === i + 1 && (rows.at(-1)?.sequence ?? 0) > 0);
    }
    const rightPage = await signIn(right, aheadName);
    await openListed(rightPage, behindName);
    const facts = async (page: Page): Promise<string[]> =>
      (await until(page, (rows) => rows.length === 4)).map((row) => `${row.text} ${row.time}`);
    const truth = await facts(rightPage);
    assert.deepEqual(await facts(aheadPage), truth);
    assert.deepEqual(await facts(behindPage), truth);
    assert.equal(await aheadPage.locator('.mark-day').count(), 1);
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

async function revokeOthers(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Settings' }).click();
  const others = page.locator('[data-session] button');
  await others.first().waitFor();
  await others.first().click();
  await others.first().waitFor({ state: 'detached' });
}
