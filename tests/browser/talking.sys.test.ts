/** Unread counts, edits, deletes, drafts, groups and the status tab, between real people. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'mocha';
import type { Browser, Page } from 'playwright-core';
import { logIn, sendMessage } from './api.ts';
import { openBrowser } from './browser.ts';
import {
  areSettled,
  closeDesk,
  comeOnline,
  composer,
  type Desk,
  newName,
  openDesk,
  openListed,
  openWith,
  ready,
  seen,
  send,
  signIn,
  signUp,
  texts,
  trespasses,
  until,
} from './person.ts';
import { RunningServer } from './running-server.ts';

describe('talking in a browser', () => {
  const server = new RunningServer();
  let browser: Browser;
  let ana: Desk;
  let bo: Desk;
  let anaPage: Page;
  let boPage: Page;
  const anaName = newName('ana');
  const boName = newName('bo');

  before(async () => {
    await server.start();
    browser = await openBrowser();
    ana = await openDesk(browser, () => server.url);
    bo = await openDesk(browser, () => server.url);
    anaPage = await signUp(ana, anaName, 'Ana Ruiz');
    boPage = await signUp(bo, boName, 'Bo Lind');
  });

  after(async () => {
    await browser?.close();
    await Promise.all([ana?.proxy.stop(), bo?.proxy.stop()]);
    await server.stop();
  });

  it('unread is counted in the list and the title, and is none once read', async () => {
    await openWith(anaPage, boName);
    await send(anaPage, 'zero');
    await openListed(boPage, 'Ana Ruiz');
    await until(anaPage, (rows) => rows[0]?.state === 'READ');
    await composer(boPage).press('Escape');
    for (const text of ['one', 'two', 'three']) await send(anaPage, text);
    const badge = boPage.locator('.list-row .badge');
    await badge.waitFor();
    await boPage.waitForFunction(() => document.title === '(3) Parley');
    assert.match((await badge.textContent()) ?? '', /^3/);
    await openListed(boPage, 'Ana Ruiz');
    await boPage.locator('.mark-new').waitFor();
    await badge.waitFor({ state: 'detached' });
    await boPage.waitForFunction(() => document.title === 'Parley');
    await until(anaPage, (rows) => rows.every((row) => row.state === 'READ'));
  });

  it('the unread line stays where it was when the conversation was opened', async () => {
    await send(anaPage, 'four');
    await until(boPage, (rows) => rows.at(-1)?.text === 'four');
    await send(boPage, 'five');
    await until(boPage, (rows) => rows.length === 6 && areSettled(rows));
    const next = await boPage.evaluate(
      () => document.querySelector('.mark-new')?.nextElementSibling?.textContent ?? '',
    );
    assert.match(next, /one/);
  });

  it('a device that holds nothing of it opens at the unread line too, with what follows it', async () => {
    const readerName = newName('reader');
    const desk = await openDesk(browser, () => server.url);
    const page = await signUp(desk, readerName, 'Rea Der');
    await openWith(page, anaName);
    await send(page, 'first of all');
    await until(page, (rows) => rows.length === 1 && areSettled(rows));
    await page.close();
    await closeDesk(desk);
    const reader = await logIn(server.url, readerName);
    const anas = await logIn(server.url, anaName);
    for (let i = 0; i < 40; i++)
      await sendMessage(anas, `direct:${reader.userId}`, { text: { body: `unread ${i}` } });

    const other = await openDesk(browser, () => server.url);
    const fresh = await signIn(other, readerName);
    await openListed(fresh, 'Ana Ruiz');
    await fresh.waitForFunction(() => {
      const line = document.querySelector('.mark-new');
      const top = document.querySelector('.scroll')?.getBoundingClientRect().top ?? 0;
      const isNext = line?.nextElementSibling?.textContent?.includes('unread 0') === true;
      return isNext && line.getBoundingClientRect().top >= top;
    });
    await fresh.locator('.jump').click();
    await until(fresh, (rows) => rows.at(-1)?.text === 'unread 39');
    await closeDesk(other);
    await openListed(anaPage, 'Rea Der');
    await anaPage.locator('.list-row .badge').waitFor({ state: 'detached' });
    await openListed(anaPage, 'Bo Lind');
  });

  it('an edit and a delete of an own message reach the other', async () => {
    await anaPage.locator('.row.mine', { hasText: 'one' }).click({ button: 'right' });
    await anaPage.getByRole('menuitem', { name: 'Edit' }).click();
    await composer(anaPage).fill('one, corrected');
    await anaPage.getByRole('button', { name: 'Save' }).click();
    await until(boPage, (rows) => rows[1]?.text === 'one, corrected');
    assert.equal(await boPage.locator('.row .edited').count(), 1);
    await anaPage.locator('.row.mine', { hasText: 'two' }).click({ button: 'right' });
    await anaPage.getByRole('menuitem', { name: 'Delete' }).click();
    await anaPage.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await until(boPage, (rows) => rows[2]?.text === 'Message deleted');
    await until(anaPage, (rows) => rows[2]?.text === 'Message deleted');
  });

  it('an edit gives the field back to what was being written', async () => {
    await composer(anaPage).fill('half a thought');
    await anaPage.locator('.row.mine', { hasText: 'three' }).click({ button: 'right' });
    await anaPage.getByRole('menuitem', { name: 'Edit' }).click();
    assert.equal(await composer(anaPage).inputValue(), 'three');
    await composer(anaPage).press('Escape');
    assert.equal(await composer(anaPage).inputValue(), 'half a thought');
  });

  it('a draft survives a reload', async () => {
    await anaPage.waitForTimeout(600);
    await anaPage.reload();
    await ready(anaPage);
    await anaPage.waitForFunction(
      () => document.querySelector('textarea')?.value === 'half a thought',
    );
    await composer(anaPage).fill('');
  });

  it('reading history, fifty arrive: nothing moves and the button says 50 (case 27)', async () => {
    const script = await logIn(server.url, boName);
    const anas = await logIn(server.url, anaName);
    for (let i = 0; i < 80; i++)
      await sendMessage(script, `direct:${anas.userId}`, { text: { body: `before ${i}` } });
    await until(anaPage, (rows) => rows.at(-1)?.text === 'before 79');
    await anaPage.locator('.list-row .badge').waitFor({ state: 'detached' });
    await anaPage.mouse.move(700, 400);
    await anaPage.mouse.wheel(0, -1_500);
    await anaPage.locator('.jump').waitFor();
    await anaPage.waitForTimeout(300);
    const before = await firstInView(anaPage);
    for (let i = 0; i < 50; i++)
      await sendMessage(script, `direct:${anas.userId}`, { text: { body: `after ${i}` } });
    await anaPage.locator('[data-below="50"]').waitFor();
    assert.deepEqual(await firstInView(anaPage), before);
    assert.equal((await texts(anaPage)).includes('after 0'), false);
    await anaPage.locator('.jump').click();
    await until(anaPage, (rows) => rows.at(-1)?.text === 'after 49');
    await anaPage.locator('.jump').waitFor({ state: 'detached' });
  });

  it('scrolling back loads older pages and keeps at most 120 rows in the page', async () => {
    await anaPage.mouse.move(700, 400);
    let most = 0;
    for (let i = 0; i < 80 && !(await texts(anaPage)).includes('one, corrected'); i++) {
      await anaPage.mouse.wheel(0, -500);
      await anaPage.waitForTimeout(40);
      most = Math.max(most, (await seen(anaPage)).length);
    }
    assert.ok((await texts(anaPage)).includes('one, corrected'));
    assert.ok(most <= 120, `${most} rows`);
    await send(anaPage, 'back at the end');
    await until(anaPage, (rows) => rows.at(-1)?.text === 'back at the end' && areSettled(rows));
  });

  it('a group: made, written in, a role given, left', async () => {
    await anaPage.getByRole('button', { name: 'New conversation' }).first().click();
    await anaPage.getByRole('searchbox', { name: 'People', exact: true }).fill(boName);
    await anaPage.locator('.person.pick').first().click();
    await anaPage.getByLabel(/^Group name/).fill('Crew');
    await anaPage.getByRole('button', { name: /^Make the group/ }).click();
    await send(anaPage, 'welcome');
    await openListed(boPage, 'Crew');
    await until(boPage, (rows) => rows.at(-1)?.text === 'welcome');
    await anaPage.getByRole('button', { name: 'Members and details' }).click();
    await anaPage.getByRole('button', { name: 'Actions for Bo Lind' }).click();
    await anaPage.getByRole('menuitem', { name: 'Make admin' }).click();
    await boPage.getByText('You are now an admin').waitFor();
    await boPage.getByRole('button', { name: 'Members and details' }).click();
    await boPage.getByRole('button', { name: 'Leave the group' }).click();
    await boPage.getByRole('button', { name: 'Leave', exact: true }).click();
    await boPage.keyboard.press('Escape');
    await boPage.getByText('You are no longer in this conversation.').waitFor();
    await anaPage.locator('[data-member]').nth(1).waitFor({ state: 'detached' });
    await anaPage.keyboard.press('Escape');
  });

  it('offline is said after five seconds with what waits, and no longer once back', async () => {
    await openListed(anaPage, 'Bo Lind');
    ana.proxy.cut();
    const cut = Date.now();
    await send(anaPage, 'patience');
    const tab = anaPage.locator('[data-status="offline"]');
    await tab.waitFor();
    assert.ok(Date.now() - cut > 4_500, `${Date.now() - cut} ms`);
    assert.equal((await tab.textContent())?.trim(), 'Offline, 1 waiting');
    await comeOnline(ana);
    await tab.waitFor({ state: 'detached' });
    await until(anaPage, (rows) => rows.at(-1)?.text === 'patience' && areSettled(rows));
  });

  it('sign-out removes what this device held', async () => {
    await anaPage.getByRole('button', { name: 'Settings' }).click();
    await anaPage.getByRole('button', { name: 'Sign out of this device' }).click();
    await anaPage.getByRole('button', { name: 'Sign out', exact: true }).last().click();
    await anaPage.getByRole('heading', { name: 'Sign in to Parley' }).waitFor();
    assert.equal(await anaPage.evaluate(() => localStorage.getItem('parley.session')), null);
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

async function firstInView(page: Page): Promise<string> {
  return page.evaluate(() => {
    const top = document.querySelector('.scroll')?.getBoundingClientRect().top ?? 0;
    const row = [...document.querySelectorAll<HTMLElement>('[data-key]')].find(
      (each) => each.getBoundingClientRect().bottom > top,
    );
    return `${row?.dataset['sequence']} at ${row?.getBoundingClientRect().top.toFixed(0)}`;
  });
}
