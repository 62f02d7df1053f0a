// Small parts that the views share.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { reasons } from '../src/core/close.ts'
import type { Shown } from './poll.ts'
import { useStatus } from './status.ts'

/** The word of a reason; its meaning on hovering, and its calmness by its color. */
export function ReasonWord({ reason, side }: { reason: string; side?: string }) {
  return (
    <span class={`reason ${isCalm(reason) ? 'calm' : 'odd'}`} title={meaningOf(reason)}>
      {reason}
      {side !== undefined && <span class="quiet"> by {side}</span>}
    </span>
  )
}

/** Ends that need no attention. */
export function isCalm(reason: string): boolean {
  return ['eof', 'drain', 'reloaded', 'killed', 'lifetime_timeout'].includes(reason)
}

export function meaningOf(reason: string): string {
  return Object.hasOwn(reasons, reason) ? reasons[reason as keyof typeof reasons].when : ''
}

export function causesOf(reason: string): string {
  return Object.hasOwn(reasons, reason) ? reasons[reason as keyof typeof reasons].causes : ''
}

/** A sentence in which back quotes enclose our words. */
export function Words({ text }: { text: string }) {
  return <>{text.split('`').map((part, nth) => (nth % 2 === 1 ? <code key={nth}>{part}</code> : part))}</>
}

export function Problem({ text }: { text: string | null }) {
  return text === null ? null : (
    <p class="problem" role="alert">
      {text}
    </p>
  )
}

interface AnsweredProps<T> {
  polled: Shown<T>
  children: (value: T) => ComponentChildren
}

/** An answer of the gate; in its place a problem, or, until there is one, that it is asked for. */
export function Answered<T>({ polled: { value, problem, isOld }, children }: AnsweredProps<T>) {
  const isGone = useStatus().word === 'isGone'
  return (
    <>
      <Problem text={problem} />
      {value !== null && <div aria-busy={isOld}>{children(value)}</div>}
      {value === null && problem === null && !isGone && <p class="empty">{ASKING}</p>}
    </>
  )
}

export const ASKING = 'Asking …'

export function Facts({ children }: { children: ComponentChildren }) {
  return <dl class="facts">{children}</dl>
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

/** Content that may be wider than the screen: it scrolls by itself, with the keyboard too. */
export function Scrolls({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scrolls" tabIndex={0} role="group" aria-label={label}>
      {children}
    </div>
  )
}

interface ChoiceProps {
  name: string
  label: string
  value: string
  words: readonly string[]
  /** The word for no choice. */
  all?: string
  onChange: (word: string) => void
}

/** The chosen word is there before the gate has told all of them, and after it knows it no more. */
export function Choice({ name, label, value, words, all = 'all', onChange }: ChoiceProps) {
  const isExtra = ![all, '', ...words].includes(value)
  return (
    <label>
      {label}
      <select name={name} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">{all}</option>
        {(isExtra ? [value, ...words] : words).map((word) => (
          <option key={word} value={word}>
            {word}
          </option>
        ))}
      </select>
    </label>
  )
}

interface TextFilterProps {
  label: string
  value: string
  /** Called when the input is finished. */
  onChange: (text: string) => void
}

/** The draft is local until it is finished: an answer of the gate meanwhile must not replace it. */
export function TextFilter({ label, value, onChange }: TextFilterProps) {
  const [draft, setDraft] = useState(value)
  useEffect(() => setDraft(value), [value])
  return (
    <label>
      {label}
      <input
        type="search"
        value={draft}
        placeholder="any"
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => setDraft(event.currentTarget.value)}
        onChange={(event) => onChange(event.currentTarget.value.trim())}
      />
    </label>
  )
}

export interface Question {
  title: string
  text: string
  /** The label of the button that runs it. */
  verb: string
  act: () => Promise<void>
}

/** Every change is confirmed. The browser's own dialog keeps the focus, and Escape leaves it. */
export function Confirm({ question, onDone }: { question: Question | null; onDone: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [problem, setProblem] = useState<string | null>(null)
  const [isBusy, setBusy] = useState(false)
  useEffect(() => {
    setProblem(null)
    if (question !== null) dialog.current?.showModal()
    else dialog.current?.close()
  }, [question])
  const act = async (): Promise<void> => {
    setBusy(true)
    try {
      await question!.act()
      onDone()
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
    } finally {
      setBusy(false)
    }
  }
  return (
    <dialog ref={dialog} onClose={onDone} aria-labelledby="question">
      <h2 id="question">{question?.title}</h2>
      <p>{question?.text}</p>
      <Problem text={problem} />
      <div class="buttons">
        <button type="button" onClick={onDone}>
          Leave it
        </button>
        <button type="button" class="danger" disabled={isBusy} onClick={() => void act()}>
          {question?.verb}
        </button>
      </div>
    </dialog>
  )
}
