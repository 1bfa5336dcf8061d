/** CLIENT §4, cases 52 and 53: every screen in both themes, and the whole journey by keyboard. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
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
  PASSWORD,
  send,
  signUp,
  trespasses,
  until,
} from './person.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly target: readonly unknown[] }[];
}

describe('access in a browser', () => {
  const company = new Company();
  const boName = newName('bo');
  let boPage: Page;

  before(async () => {
    await company.start();
    boPage = await signUp(await company.newDesk(), boName, 'Bo Lind');
  });

  after(() => company.stop());

  it('axe finds nothing on any screen, light or dark (case 52)', async () => {
    const ana = await company.newDesk();
    const gate = await ana.context.newPage();
    await gate.goto('/');
    await inspect(gate, 'sign-in');
    await gate.getByRole('button', { name: 'Create an account' }).click();
    await gate.getByLabel('Password').press('Enter');
    await inspect(gate, 'sign-up with errors');
    await gate.close();
    const page = await signUp(ana, newName('ana'), 'Ana Ruiz');
    await inspect(page, 'nothing yet');
    await openWith(page, boName);
    await inspect(page, 'an empty 1:1');
    await send(page, 'hello https://parley.example/x');
    await send(page, '🙂');
    await until(page, (rows) => rows.length === 2 && areSettled(rows));
    await inspect(page, '1:1');
    await page.locator('.row.mine').last().click({ button: 'right' });
    await inspect(page, 'menu of a row');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Details' }).click();
    await inspect(page, 'details');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'New conversation' }).first().click();
    await page.getByRole('searchbox', { name: 'People', exact: true }).fill(boName);
    await page.locator('.person.pick').first().click();
    await page.getByLabel(/^Group name/).fill('Crew');
    await inspect(page, 'new conversation');
    await page.getByRole('button', { name: /^Make the group/ }).click();
    await page.getByRole('button', { name: 'Members and details' }).click();
    await page.locator('[data-member]').nth(1).waitFor();
    await inspect(page, 'group');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.locator('[data-session]').first().waitFor();
    await inspect(page, 'settings');
    await page.getByRole('button', { name: 'Keyboard' }).click();
    await inspect(page, 'keys');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.getByRole('searchbox', { name: /^Find people/ }).fill('bo');
    await page.locator('.list-title').first().waitFor();
    await inspect(page, 'find');
    await page.getByRole('button', { name: 'Clear' }).click();
    ana.proxy.cut();
    await send(page, 'waiting for the network');
    await page.locator('[data-status="offline"]').waitFor();
    await inspect(page, 'offline');
    await comeOnline(ana);
    await page.locator('[data-status="offline"]').waitFor({ state: 'detached' });
    const second = await ana.context.newPage();
    await second.goto('/');
    await page.locator('[data-status="follower"]').waitFor();
    await inspect(page, 'taken over');
    await second.close();
    await page.getByRole('button', { name: 'Use here' }).click();
    await page.locator('[data-status="follower"]').waitFor({ state: 'detached' });
    await page.setViewportSize({ width: 390, height: 844 });
    await inspect(page, 'phone');
  });

  it('by touch at 390 px every target is 44 px, but those in the run of text', async () => {
    const touch = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
    const made = await company.newDesk(touch);
    const gate = await made.context.newPage();
    await gate.goto('/');
    assert.deepEqual(await smallTargets(gate), [], 'sign-in');
    await gate.close();
    const page = await signUp(made, newName('tia'), 'Tia Touch');
    assert.deepEqual(await smallTargets(page), [], 'nothing yet');
    await openWith(page, boName);
    await composer(page).fill('by touch');
    await page.getByRole('button', { name: 'Send' }).click();
    await until(page, (rows) => rows.length === 1 && areSettled(rows));
    assert.deepEqual(await smallTargets(page), [], '1:1');
    await page.getByRole('button', { name: 'Back to conversations' }).click();
    assert.deepEqual(await smallTargets(page), [], 'list');
    await page.getByRole('button', { name: 'New conversation' }).first().click();
    await page.getByRole('searchbox', { name: 'People', exact: true }).fill(boName);
    await page.locator('.person.pick').first().click();
    assert.deepEqual(await smallTargets(page), [], 'new conversation');
    await page.getByLabel(/^Group name/).fill('Touched');
    await page.getByRole('button', { name: /^Make the group/ }).click();
    await page.getByRole('button', { name: 'Members and details' }).click();
    await page.locator('[data-member]').nth(1).waitFor();
    assert.deepEqual(await smallTargets(page), [], 'group');
    await page.getByRole('button', { name: /^Actions for/ }).click();
    assert.deepEqual(await smallTargets(page), [], 'menu of a member');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Back to conversations' }).click();
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.locator('[data-session]').first().waitFor();
    assert.deepEqual(await smallTargets(page), [], 'settings');
  });

  it('the whole journey by keyboard: focus is always visible and never on the body (case 53)', async () => {
    const ana = await company.newDesk();
    const page = await ana.context.newPage();
    const name = newName('ana');
    const { press, type, tabTo } = keyboardOf(page);
    await page.goto('/');
    await page.getByRole('heading', { name: 'Sign in to Parley' }).waitFor();
    await tabTo(/Create an account/);
    await press('Enter');
    await type(name);
    await press('Tab');
    await type('Ana Keys');
    await press('Tab');
    await type(PASSWORD);
    await press('Enter');
    await page.getByRole('searchbox', { name: 'Find people and conversations' }).waitFor();

    await press('Control+k');
    await type(boName);
    await page.locator('.list-row').first().waitFor();
    await press('ArrowDown');
    await press('Enter');
    await composer(page).waitFor();
    await type('first words');
    await press('Enter');
    await until(page, (rows) => rows.length === 1 && areSettled(rows));
    await press('ArrowUp');
    assert.equal(await composer(page).inputValue(), 'first words');
    await type(', edited');
    await press('Enter');
    await until(page, (rows) => rows.at(-1)?.text === 'first words, edited' && areSettled(rows));
    await type('second words');
    await press('Enter');
    await until(page, (rows) => rows.length === 2 && areSettled(rows));

    await press('Shift+Tab');
    await tabTo(/second words/, 'Shift+Tab');
    await press('ArrowUp');
    await press('ArrowDown');
    await press('Delete');
    await page.getByRole('heading', { name: 'Delete this message for everyone?' }).waitFor();
    await press('Enter');
    await until(page, (rows) => rows.at(-1)?.text === 'Message deleted');
    await press('Escape');
    assert.equal(await composer(page).evaluate((field) => field === document.activeElement), true);

    await press('Escape');
    await tabTo(/^New conversation$/);
    await press('Enter');
    await type(boName);
    await page.locator('.person.pick').first().waitFor();
    await tabTo(/Bo Lind/);
    await press('Space');
    await tabTo(/Group name/);
    await type('Keys');
    await press('Enter');
    await type('a group by keyboard');
    await press('Enter');
    await until(page, (rows) => rows.length === 1 && areSettled(rows));
    await openListed(boPage, 'Keys');
    await until(boPage, (rows) => rows.at(-1)?.text === 'a group by keyboard');

    await page.keyboard.press('Control+F6');
    await press('Control+/');
    await page.getByRole('heading', { name: 'Keyboard' }).waitFor();
    await press('Escape');
    await press('Alt+ArrowDown');
    await until(page, (rows) => rows.some((row) => row.text === 'first words, edited'));
    await press('Alt+ArrowUp');
    await until(page, (rows) => rows.at(-1)?.text === 'a group by keyboard');
    await tabTo(/^Members and details$/, 'Shift+Tab');
    await press('Enter');
    await page.locator('[data-member]').nth(1).waitFor();
    // The last owner cannot leave the others alone.
    await tabTo(/^Actions for Bo Lind$/);
    await press('Enter');
    assert.match(await focusedName(page), /^Make owner$/);
    await press('Enter');
    await page.locator('[data-member] .role', { hasText: 'owner' }).nth(1).waitFor();
    await tabTo(/^Leave the group$/);
    await press('Enter');
    await tabTo(/^Leave$/);
    await press('Enter');
    await page.getByText('You are no longer in this conversation.').waitFor();
    await press('Escape');
    await boPage.locator('[data-member], .service', { hasText: 'Ana Keys' }).last().waitFor();
    // Backwards: forwards the page ends here and the browser's own controls come.
    await tabTo(/^Settings$/, 'Shift+Tab');
    await press('Enter');
    await tabTo(/^Sign out of this device$/);
    await press('Enter');
    await tabTo(/^Sign out$/);
    await press('Enter');
    await page.getByRole('heading', { name: 'Sign in to Parley' }).waitFor();
  });

  it('nothing was asked of others and no policy was broken (case 48)', () => {
    assert.deepEqual(trespasses, []);
  });
});

const TARGET_PX = 44;

/**
 * What can be tapped and is smaller. Asked of the page itself: whatever lies 21 px from the middle
 * must answer for the target. Rows of text leave less room: their margin is asked for 24 (WCAG 2.5.8),
 * and a long press anywhere on the row does the same.
 */
function smallTargets(page: Page): Promise<string[]> {
  return page.evaluate(async (px) => {
    await Promise.all(document.getAnimations().map((each) => each.finished));
    const small: string[] = [];
    for (const node of document.querySelectorAll<HTMLElement>('button, input, textarea, select')) {
      const { left, top, width, height } = node.getBoundingClientRect();
      const [x, y] = [left + width / 2, top + height / 2];
      const isHere = (dx: number, dy: number): boolean => {
        const at = document.elementFromPoint(x + dx, y + dy);
        return at !== null && (node.contains(at) || at.closest('label')?.control === node);
      };
      if (width <= 1 || !isHere(0, 0)) continue;
      const reach = (node.matches('.margin') ? 24 : px) / 2 - 1;
      const isWide = isHere(-reach, 0) && isHere(reach, 0);
      if (isWide && isHere(0, -reach) && isHere(0, reach)) continue;
      small.push(
        `${node.getAttribute('aria-label')} ${node.className} ${node.textContent} ${left},${top} ${width} × ${height}`,
      );
    }
    return small;
  }, TARGET_PX);
}

async function inspect(page: Page, screen: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.evaluate(AXE);
    const violations = await page.evaluate(async () => {
      const { axe } = window as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
      return (await axe.run()).violations;
    });
    const said = violations.map(
      ({ id, nodes }) => `${id}: ${nodes.map((n) => n.target).join(' ')}`,
    );
    assert.deepEqual(said, [], `${screen}, ${colorScheme}`);
  }
}

interface Keyboard {
  readonly press: (key: string) => Promise<void>;
  readonly type: (text: string) => Promise<void>;
  readonly tabTo: (name: RegExp, key?: string) => Promise<void>;
}

const TABS_MAX = 40;

function keyboardOf(page: Page): Keyboard {
  const press = async (key: string): Promise<void> => {
    await page.keyboard.press(key);
    await page.waitForTimeout(60);
    await checkFocus(page, key);
  };
  const tabTo = async (name: RegExp, key = 'Tab'): Promise<void> => {
    for (let i = 0; i < TABS_MAX; i++) {
      if (name.test(await focusedName(page))) return;
      await press(key);
    }
    assert.fail(`no ${name} within ${TABS_MAX} ${key}`);
  };
  const type = async (text: string): Promise<void> => {
    await page.keyboard.type(text);
    await checkFocus(page, text);
  };
  return { press, type, tabTo };
}

function focusedName(page: Page): Promise<string> {
  return page.evaluate(() => {
    const node = document.activeElement;
    const label =
      node instanceof HTMLInputElement ? node.labels?.[0]?.textContent : node?.textContent;
    return (node?.getAttribute('aria-label') ?? label ?? '').trim();
  });
}

async function checkFocus(page: Page, after: string): Promise<void> {
  const fault = await page.evaluate(() => {
    const node = document.activeElement;
    if (node === null || node === document.body) return 'on the body';
    const { outlineStyle, outlineWidth } = getComputedStyle(node);
    const ring = node instanceof HTMLInputElement && node.type === 'radio' ? true : undefined;
    const isVisible = ring ?? (outlineStyle !== 'none' && outlineWidth !== '0px');
    return isVisible ? '' : `not visible on ${node.outerHTML.slice(0, 120)}`;
  });
  assert.equal(fault, '', `after ${after} the focus is`);
}
