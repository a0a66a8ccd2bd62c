/** Whether a text stands for a secret kept elsewhere, such as "{vault://env/password}". */
export function isVaultReference(text: string): boolean {
  return text.startsWith("{vault://") && text.endsWith("}");
}
