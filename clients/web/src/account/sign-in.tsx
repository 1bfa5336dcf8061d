/** Sign-in and sign-up: one card on the waterline. Errors stay in place, fields keep their text. */
import { type SubmitEvent, type ReactNode, useId, useRef, useState } from 'react';
import { Brand } from '../art/brand.tsx';
import { codePoints, fieldText } from '../text/form-text.ts';
import { reasonOf, sentenceOf } from '../text/reason-text.ts';

export interface Entry {
  readonly mode: 'sign-in' | 'sign-up';
  readonly username: string;
  readonly password: string;
  readonly displayName: string;
}

interface SignInProps {
  /** Why the person is here again, if they were signed in. */
  readonly notice?: string | undefined;
  readonly username?: string | undefined;
  readonly enter: (entry: Entry) => Promise<void>;
}

interface Trouble {
  readonly field?: 'username' | 'password';
  readonly text: string;
}

const USERNAME = /^[a-z0-9._-]{3,50}$/;
const PASSWORD_MIN = 8;
const PASSWORD_MAX = 128;

export function SignIn(props: SignInProps): ReactNode {
  const [mode, setMode] = useState<Entry['mode']>('sign-in');
  const [trouble, setTrouble] = useState<Trouble | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const isNew = mode === 'sign-up';

  const submit = async (e: SubmitEvent<HTMLFormElement>): Promise<void> => {
    e.preventDefault();
    if (isBusy) return;
    const entry = read(e.currentTarget, mode);
    const found = judge(entry) ?? (await attempt(() => props.enter(entry), setBusy));
    setTrouble(found);
    if (found !== undefined) focusField(form.current, found.field);
  };
  const swap = (): void => {
    setMode(isNew ? 'sign-in' : 'sign-up');
    setTrouble(undefined);
    focusField(form.current, 'username');
  };

  return (
    <main className="gate">
      <div className="gate-main">
        <div className="gate-brand">
          <span className="flag">
            <Brand />
          </span>
          <h1>{isNew ? 'Create your account' : 'Sign in to Parley'}</h1>
          {props.notice !== undefined && <p role="status">{props.notice}</p>}
        </div>
        <form ref={form} className="gate-card" noValidate onSubmit={(e) => void submit(e)}>
          <Fields isNew={isNew} username={props.username} trouble={trouble} />
          {trouble !== undefined && trouble.field === undefined && (
            <p className="error" role="alert">
              {trouble.text}
            </p>
          )}
          <button className="button primary" type="submit" aria-disabled={isBusy}>
            {isNew ? 'Create account' : 'Sign in'}
          </button>
          <p className="gate-swap">
            {isNew ? 'You have an account? ' : 'New here? '}
            <button type="button" className="link-button" onClick={swap}>
              {isNew ? 'Sign in' : 'Create an account'}
            </button>
          </p>
        </form>
      </div>
    </main>
  );
}

interface FieldsProps {
  readonly isNew: boolean;
  readonly username: string | undefined;
  readonly trouble: Trouble | undefined;
}

function Fields({ isNew, username, trouble }: FieldsProps): ReactNode {
  return (
    <>
      <Field
        label="Username"
        name="username"
        autoComplete="username"
        defaultValue={username}
        trouble={trouble}
        note={isNew ? '3 to 50 of a–z, 0–9, dot, dash and underscore.' : undefined}
        isFirst
      />
      {isNew && (
        <Field
          label="Name that others see"
          name="displayName"
          autoComplete="name"
          note="Optional. Your username if left empty."
        />
      )}
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete={isNew ? 'new-password' : 'current-password'}
        trouble={trouble}
        note={isNew ? 'At least 8 characters.' : undefined}
      />
    </>
  );
}

interface FieldProps {
  readonly label: string;
  readonly name: 'username' | 'password' | 'displayName';
  readonly autoComplete: string;
  readonly type?: 'password';
  readonly note?: string | undefined;
  readonly trouble?: Trouble | undefined;
  readonly defaultValue?: string | undefined;
  readonly isFirst?: boolean;
}

function Field(props: FieldProps): ReactNode {
  const id = useId();
  const error = props.trouble?.field === props.name ? props.trouble.text : undefined;
  const hint = error ?? props.note;
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      <input
        id={id}
        className="input"
        name={props.name}
        type={props.type ?? 'text'}
        autoComplete={props.autoComplete}
        autoCapitalize="none"
        spellCheck={false}
        dir="auto"
        autoFocus={props.isFirst === true}
        defaultValue={props.defaultValue}
        aria-invalid={error !== undefined}
        aria-describedby={hint === undefined ? undefined : `${id}-note`}
      />
      {hint !== undefined && (
        <p
          id={`${id}-note`}
          className={error === undefined ? 'note' : 'error'}
          role={error === undefined ? undefined : 'alert'}
        >
          {hint}
        </p>
      )}
    </div>
  );
}

function read(form: HTMLFormElement, mode: Entry['mode']): Entry {
  return {
    mode,
    username: fieldText(form, 'username').trim().toLowerCase(),
    password: fieldText(form, 'password'),
    displayName: fieldText(form, 'displayName').trim(),
  };
}

function judge({ mode, username, password }: Entry): Trouble | undefined {
  if (!USERNAME.test(username))
    return {
      field: 'username',
      text: 'A username has 3 to 50 of a–z, 0–9, dot, dash, underscore.',
    };
  const count = codePoints(password);
  if (mode === 'sign-in' && count === 0) return { field: 'password', text: 'Type your password.' };
  if (mode === 'sign-up' && (count < PASSWORD_MIN || count > PASSWORD_MAX))
    return { field: 'password', text: sentenceOf('WEAK_PASSWORD') };
  return undefined;
}

async function attempt(
  run: () => Promise<void>,
  setBusy: (isBusy: boolean) => void,
): Promise<Trouble | undefined> {
  setBusy(true);
  try {
    await run();
    return undefined;
  } catch (error) {
    return troubleOf(reasonOf(error));
  } finally {
    setBusy(false);
  }
}

function troubleOf(reason: string | undefined): Trouble {
  const text = sentenceOf(reason ?? 'BACKEND_UNAVAILABLE');
  if (reason === 'USERNAME_TAKEN') return { field: 'username', text };
  if (reason === 'WEAK_PASSWORD') return { field: 'password', text };
  return { text };
}

function focusField(form: HTMLFormElement | null, name: string | undefined): void {
  if (form === null) return;
  const field = form.elements.namedItem(name ?? 'password');
  if (field instanceof HTMLInputElement) field.focus();
}
